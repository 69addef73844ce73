"""Drift as a picture: which steps are drawn, every layer by its steps, and one file."""

import pytest
import torch

from bntt.analysis.drift.input_drift import LayerInputs, compared
from bntt.runs.measures.drift import DriftResult
from bntt.runs.figures.drift_figure import save_drift, shown_steps
from bntt.nn import BNTT, SharedBN
from bntt.ops.norm import Moments
from tests.runs.figures.test_figures import PNG, drawn, ticks, values

__all__ = ["drawn"]


def result(norm, steps: int = 5) -> DriftResult:
    came = Moments(torch.arange(steps).double()[:, None], torch.ones(steps, 1).double(), (8,) * steps)
    layers = {f"conv{n}": compared(came, norm(1, num_steps=steps), range(n, steps)) for n in range(3)}
    counts = torch.tensor([[1, 2, 4, 2, 1]] * steps) * torch.arange(1, steps + 1)[:, None]
    inputs = LayerInputs("conv1", (-2.0, -1.0, 1.0, 2.0), counts)
    return DriftResult("$ of images", "validation", 3, "bntt", 500, layers, inputs, 100)


def test_what_is_drawn(tmp_path, drawn):
    save_drift(result(SharedBN), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    distribution, distance, ratio, divergence = drawn[0].axes
    assert [line.get_label() for line in distribution.lines] == ["step 2", "step 3", "step 5"]
    assert values(distribution) == [(-1.5, pytest.approx(0.2)), (0.0, pytest.approx(0.2)), (1.5, pytest.approx(0.2))]
    assert [len(line.get_xdata()) for line in distance.lines] == [5, 4, 3]
    assert values(distance, 1)[0] == (2, pytest.approx(1, rel=1e-3))
    assert values(ratio)[0] == (1, pytest.approx(1))
    assert values(divergence, 2)[-1] == (5, pytest.approx(8, rel=1e-3))
    for axes in (distance, ratio, divergence):
        assert ticks(axes) == [1, 2, 3, 4, 5]
        assert axes.get_ylim()[1] > max(y for line in axes.lines for y in line.get_ydata())
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["conv0", "conv1", "conv2"]


def test_with_statistics_of_each_step_it_shows_what_they_are_for(tmp_path, drawn):
    of = result(BNTT)
    one = BNTT(1, num_steps=5)
    one.running_mean.copy_(torch.arange(5)[:, None])
    of.layers["conv0"] = compared(of.layers["conv0"].moments, one, range(5))
    save_drift(of, tmp_path / "x.png")
    lines = drawn[0].axes[1].lines
    assert [line.get_linestyle() for line in lines] == ["-"] * 3 + [":"] * 3
    assert lines[0].get_ydata().tolist() == [0] * 5
    assert lines[3].get_ydata()[2] == 0
    assert lines[3].get_ydata()[0] == lines[3].get_ydata()[4] > 1


def test_steps():
    assert shown_steps(range(25), 25) == [0, 12, 24]
    assert shown_steps(range(2, 2), 1) == [0]

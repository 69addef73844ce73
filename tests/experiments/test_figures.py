"""Pictures are written, and show what they are given."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bntt.analysis import GammaProfile, Prediction
from bntt.data.picture import Picture
from bntt.experiments.figures import save_overview, save_predictions
from tests.cli.test_console import outcome


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    found, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **options: found.append(self) or save(self, *args, **options)
    )
    return found


@pytest.mark.parametrize("with_gamma", [True, False])
def test_a_picture_is_written(with_gamma, tmp_path, drawn):
    result = outcome(6)
    if not with_gamma:
        result = dataclasses.replace(result, gamma=GammaProfile({}, {}))
    save_overview(result, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    labels = ["accuracy when stopped after this step (%)", "mean |γ| over channels", "firing rate (%)"]
    axes = drawn[0].axes
    assert [part.get_ylabel() for part in axes] == [labels[0], *labels[1:2] * with_gamma, labels[2]]
    assert axes[0].lines[-1].get_ydata().tolist() == pytest.approx([51.0] * 5 + [86.5])
    assert axes[-1].lines[0].get_ydata().tolist() == pytest.approx([0, 20, 40, 60, 80, 100])


def test_predictions_stand_beside_their_pictures(tmp_path, drawn):
    names = ("_cat", "$dog$", "fox", "owl")
    pixels = torch.arange(2 * 3, dtype=torch.uint8).reshape(1, 2, 3)
    gray = Picture(Path("a$b$.png"), pixels, ())
    colour = Picture(Path("c" * 27), pixels.expand(3, -1, -1), ())
    first = Prediction(names, torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.2, 0.7, 0.1, 0.0], [0.1, 0.8, 0.1, 0.0]]))
    save_predictions([(gray, first), (colour, Prediction(names, first.confidence[:1]))], tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    left, right, other, single = drawn[0].axes
    assert other.get_title() == "c" * 19 + "…"
    assert np.array_equal(left.images[0].get_array(), np.stack([pixels[0].numpy()] * 3, 2))
    assert left.get_title() == r"a\$b\$.png"
    lines = {line.get_label(): line.get_ydata() for line in right.lines[:3]}
    assert list(lines) == [r"80.0%  \$dog\$", "10.0%  _cat", "10.0%  fox"]
    assert lines["10.0%  _cat"] == pytest.approx([50, 20, 10])
    assert right.lines[0].get_xdata() == pytest.approx([1, 2, 3])
    assert right.lines[3].get_xdata() == [2, 2]
    assert right.get_title() == r"\$dog\$, from step 2 on"
    for axes in (right, single):
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert shown == [1, 2, 3][: len(shown)]
        assert shown

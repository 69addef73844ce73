"""One neuron as a picture: falls at its spikes, and its steps on the surrogate's curve."""

import pytest
import torch

from bntt.analysis.neuron.trajectory import NeuronTrace
from bntt.ops.lif import Neuron, fire_before, hard_reset
from bntt.runs.figures.neuron_figure import save_neuron
from tests.runs.figures.test_figures import PNG, drawn, values

__all__ = ["drawn"]

MEMBRANE, SPIKES = torch.tensor([0.5, 0.25, 0.75]), torch.tensor([False, True, False])


def test_what_is_drawn(tmp_path, drawn):
    save_neuron(NeuronTrace("conv1", (1, 2, 3), Neuron(), MEMBRANE, SPIKES), tmp_path / "x.png", "a $ boot")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    time, surrogate = drawn[0].axes
    path, after, threshold, spikes = time.lines
    assert dict.fromkeys(map(tuple, path.get_xydata().tolist())) == dict.fromkeys(
        [(0, 0), (1, 0.5), (2, 1.25), (2, 0.25), (3, 0.75)]
    )
    assert after.get_ydata().tolist() == MEMBRANE.tolist()
    assert set(threshold.get_ydata()) == {1.0}
    assert spikes.get_xdata().tolist() == [2]
    assert time.get_ylim()[1] > spikes.get_ydata()[0] > 1.25
    assert values(surrogate, 1) == [
        (0.5, pytest.approx(0.15)),
        (1.25, pytest.approx(0.225)),
        (0.75, pytest.approx(0.225)),
    ]
    assert max(surrogate.lines[0].get_ydata()) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    ("neuron", "known", "points"),
    [(Neuron(rule=fire_before), 3, [(0, 0), (1, 0.5), (2, 0.25), (3, 0.75)]), (Neuron(reset=hard_reset), 2, None)],
)
def test_what_a_step_does_not_tell_is_not_drawn(neuron, known, points, tmp_path, drawn):
    save_neuron(NeuronTrace("fc1", (1,), neuron, MEMBRANE, SPIKES), tmp_path / "x.png")
    time, surrogate = drawn[0].axes
    assert len(values(surrogate, 1)) == known
    path = list(dict.fromkeys(values(time)))
    assert path == (points or [(0, 0), (1, 0.5), (2, 0.25), (3, 0.75)])

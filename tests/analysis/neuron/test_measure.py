"""A neuron of a run: whose image and whose noise, what a reset erases, and what is refused."""

import pytest
import torch

from bntt.analysis.measurement import ArgumentError, Progress
from bntt.analysis.neuron.measure import measure_neuron, steps_of, surrogate_of
from bntt.analysis.neuron.measurement import NeuronArguments
from bntt.analysis.neuron.trajectory import NeuronTrace, neuron_trace
from bntt.ops.lif import Neuron, hard_reset
from tests.runs.tiny import opened_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs"))


def test_it_is_the_neuron_that_was_asked_for(run):
    asked = NeuronArguments(layer="conv2", place=(1, 10, 12), image=7)
    found, images = measure_neuron(run, asked, Progress()), run.data.test
    trace = neuron_trace(run.model, images.batch(torch.tensor([7])), "conv2", (1, 10, 12), index=7, seed=run.seed)
    assert [one.membrane for one in found.steps] == trace.membrane.tolist()
    assert (found.label, found.layer, found.place) == (run.classes[int(images.labels[7])], "conv2", (1, 10, 12))
    assert measure_neuron(run, NeuronArguments(), Progress()).layer == "conv1"
    held_out = measure_neuron(run, NeuronArguments("conv2", (1, 10, 12), 7, "validation"), Progress())
    assert held_out.steps != found.steps


def test_what_a_hard_reset_erases_is_none():
    trace = NeuronTrace("fc1", (4,), Neuron(reset=hard_reset), torch.tensor([0.5, 0.0]), torch.tensor([False, True]))
    first, second = steps_of(trace)
    assert (first.step, first.potential, first.spike, first.membrane) == (1, 0.5, False, 0.5)
    assert first.surrogate_gradient == pytest.approx(0.15)
    assert (second.potential, second.surrogate_gradient, second.spike) == (None, None, True)


def test_the_curve_reaches_every_potential():
    curve = surrogate_of(NeuronTrace("fc1", (4,), Neuron(), torch.tensor([-3.0, 5.0]), torch.tensor([False, True])))
    assert (curve.potential[0], curve.potential[-1]) == (-3.0, 6.0)
    assert max(curve.gradient) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": 1000}, "--image 1000: the test images have the numbers 0 to 999"),
        ({"layer": "conv9"}, "--layer, --place: there are no neurons in a layer 'conv9'"),
        ({"place": (1, 2)}, "--layer, --place: layer 'conv1' has neurons"),
    ],
)
def test_refusals(options, message, run):
    with pytest.raises(ArgumentError, match=message):
        measure_neuron(run, NeuronArguments(**options), Progress())

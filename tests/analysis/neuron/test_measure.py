"""One neuron against all that its layer was given and gave, and a loop of Eq. 4 over its drive; and that of a run."""

import copy

import pytest
import torch
from torch import nn

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.analysis.neuron import NEURON, NeuronArguments, measure_neuron
from bntt.analysis.neuron.trace import NeuronTrace, neuron_trace
from bntt.models import vgg6
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.ops.lif import Neuron, fire_before, hard_reset
from bntt.runs.measure import run_measurement
from tests.kernels import choose, simulate
from tests.trained import opened_run

STEPS = 6


def classifier(**options) -> SpikingClassifier:
    net = vgg6(num_steps=STEPS, width=0.25, image_size=8, leak=0.9, **options)
    return SpikingClassifier(PoissonEncoder(STEPS, mean=[0.5], std=[0.3]), net)


def drive(model, image, layer: str, place: tuple[int, ...], **noise) -> torch.Tensor:
    """What drives the neuron, as a hook on its layer sees it in plain PyTorch, ``[T]``."""
    model, found = copy.deepcopy(model).eval(), []
    choose(model.network, backend="reference")
    model.network.layers[layer].lif.register_forward_pre_hook(lambda module, args: found.append(args[0][:, 0]))
    with torch.no_grad():
        model(image, **noise)
    return torch.cat(found)[(slice(None), *place)]


@pytest.mark.parametrize(
    ("fire", "reset", "backend"),
    [
        ("after", "soft", "auto"),
        ("after", "hard", "reference"),
        ("before", "soft", "reference"),
        ("before", "hard", "auto"),
    ],
)
def test_it_is_eq_4_over_the_neurons_drive(fire, reset, backend, rng):
    model, image = classifier(fire=fire, reset=reset, threshold=0.7), torch.rand(1, 1, 8, 8, generator=rng)
    choose(model.network, backend=backend)
    with torch.no_grad():  # else nothing reaches fc1
        for block in model.network.blocks.values():
            for part in block.synapse.modules():
                if isinstance(part, (nn.Conv2d, nn.Linear)):
                    part.weight.mul_(4)
    for layer, place in (("conv1", (3, 1, 6)), ("fc1", (17,))):
        found = neuron_trace(model, image, layer, place, index=4, seed=2)
        z = drive(model, image, layer, place, index=torch.tensor([4]), seed=2, draw=FIRST_DRAW)
        assert z.any()
        spikes, potentials = simulate(z.double().numpy(), 0.9, 0.7, fire == "before", reset == "hard")
        assert found.spikes.tolist() == [bool(o) for o in spikes]
        known = ~found.potential.isnan()
        assert torch.equal(known, ~found.spikes | torch.tensor(fire == "before" or reset == "soft"))
        assert found.potential[known].tolist() == pytest.approx(potentials[known.numpy()].tolist(), abs=1e-4)
        slope = 0.3 * (1 - (found.potential / 0.7 - 1).abs()).clamp(min=0)
        assert torch.allclose(found.gradient, slope, equal_nan=True)
        assert (found.layer, found.place) == (layer, place)


def test_without_a_place_one_that_fires_in_half_of_the_steps(rng):
    model, image = classifier(), torch.rand(1, 1, 8, 8, generator=rng)
    assert neuron_trace(model, image, "conv1").spikes.sum() == STEPS // 2
    assert len(neuron_trace(model, image, "fc1").place) == 1


def test_the_potential_is_before_the_reset_and_what_a_hard_reset_erases_is_none():
    membrane, spikes = torch.tensor([0.5, 0.25, 0.0]), torch.tensor([False, True, True])
    after, before, erased = (
        NeuronTrace("fc1", (0,), neuron, membrane, spikes)
        for neuron in (Neuron(threshold=2.0), Neuron(rule=fire_before), Neuron(reset=hard_reset))
    )
    assert after.potential.tolist() == [0.5, 2.25, 2.0]
    assert before.potential.tolist() == [0.0, 0.5, 0.25]
    first, second, _ = erased.steps
    assert (first.step, first.potential, first.spike, first.membrane) == (1, 0.5, False, 0.5)
    assert first.surrogate_gradient == pytest.approx(0.15)
    assert (second.potential, second.surrogate_gradient, second.spike) == (None, None, True)


class Strange(nn.Module):
    def forward(self, current, call=None, state=None):
        return (current > 0).to(current.dtype), None


def test_what_cannot_be_followed_is_refused(rng):
    model, image = classifier(), torch.rand(2, 1, 8, 8, generator=rng)
    model.network.blocks["conv2"].lif = Strange()
    for shown, layer, place, named in (
        (image, "conv1", None, "one sample, got 2"),
        (image[:1], "conv9", None, "conv9.* conv1"),
        (image[:1], "conv1", (16, 0, 0), r"\[16, 0, 0\]"),
        (image[:1], "conv1", (1, 1), r"\[1, 1\]"),
        (image[:1], "conv2", None, "'conv2' are Strange"),
    ):
        with pytest.raises(ValueError, match=named):
            neuron_trace(model, shown, layer, place)


@pytest.fixture(scope="module")
def run():
    return opened_run()


def test_it_is_the_neuron_that_was_asked_for(run):
    asked = NeuronArguments(layer="conv2", place=(1, 10, 12), image=7)
    found, images = measure_neuron(run, asked, Progress()), run.data.test
    trace = neuron_trace(run.model, images.batch(torch.tensor([7])), "conv2", (1, 10, 12), index=7, seed=run.seed)
    assert [one.membrane for one in found.steps] == trace.membrane.tolist()
    assert (found.label, found.layer, found.place) == (run.classes[int(images.labels[7])], "conv2", (1, 10, 12))
    assert measure_neuron(run, NeuronArguments(), Progress()).layer == "conv1"
    held_out = measure_neuron(run, NeuronArguments("conv2", (1, 10, 12), 7, "validation"), Progress())
    assert held_out.steps != found.steps


def test_the_curve_reaches_every_potential():
    curve = NeuronTrace("fc1", (4,), Neuron(), torch.tensor([-3.0, 5.0]), torch.tensor([False, True])).surrogate
    assert (curve.potential[0], curve.potential[-1]) == (-3.0, 6.0)
    assert max(curve.gradient) == pytest.approx(0.3, abs=0.02)


def test_refusals(run):
    for options, named in (
        ({"image": 1000}, "--image 1000"),
        ({"layer": "conv9"}, "conv9"),
        ({"place": (1, 2)}, "conv1"),
    ):
        with pytest.raises(ArgumentError, match=named):
            run_measurement(NEURON, [run], NeuronArguments(**options), Progress())

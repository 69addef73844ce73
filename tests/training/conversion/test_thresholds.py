"""Thresholds of a converted network against a small loop in NumPy that shares nothing with it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from bntt.models import mlp, resnet20, vgg6
from bntt.nn import DirectEncoder, Measure, PoissonEncoder, fold, hard_reset, soft_reset
from bntt.training import balance, convert, set_thresholds, thresholds_of
from bntt.training.conversion import BALANCING
from tests.oracle import weight_of
from tests.rows import each_row

STEPS, IMAGES = 8, 4


def coarse(network, rng):
    """Weights in sixteenths: every sum of them is exact, in whatever order."""
    for weights in network.parameters():
        weights.data = torch.randint(-16, 20, weights.shape, generator=rng).to(weights.dtype) / 16
    return network


@pytest.fixture
def ann(rng):
    return coarse(vgg6(image_size=8, width=0.2, num_classes=3, num_steps=1, norm="none", neuron="relu").double(), rng)


@pytest.fixture
def images(rng):
    return torch.rand(IMAGES, 1, 8, 8, generator=rng, dtype=torch.float64)


def pairs(images, size=IMAGES):
    """Batches; their samples are numbered as they come."""
    return [(part, torch.zeros(len(part), dtype=torch.int64)) for part in images.split(size)]


def convolved(x, w):
    padded, out = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), np.zeros((len(x), len(w), *x.shape[2:]))
    for dy in range(3):
        for dx in range(3):
            part = padded[:, :, dy : dy + x.shape[2], dx : dx + x.shape[3]]
            out += np.einsum("bchw,oc->bohw", part, w[:, :, dy, dx])
    return out


def halved(x):
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 2, 2, w // 2, 2).sum((3, 5)) / 4


class Small:
    """The network as arrays, step by step, layer by layer."""

    def __init__(self, ann, hard):
        self.hard = hard
        self.weights = {name: weight_of(block.synapse).detach().numpy() for name, block in ann.blocks.items()}
        self.pooled = {
            name: any(isinstance(m, nn.AvgPool2d) for m in b.pool.modules()) for name, b in ann.blocks.items()
        }

    def current(self, name, x):
        w = self.weights[name]
        return convolved(x, w) if w.ndim == 4 else x.reshape(len(x), -1) @ w.T

    def run(self, spikes, thresholds, upto=None):
        """Spike counts by layer and step, and the largest input of the last layer."""
        membranes, counts, largest = {}, {name: [] for name in thresholds}, -np.inf
        for x in spikes:
            for name in self.weights:
                z = self.current(name, x)
                if name == upto:
                    largest = max(largest, z.max())
                    break
                u = membranes.get(name, 0) + z
                fired = u > thresholds[name]
                membranes[name] = np.where(fired, 0.0, u) if self.hard else u - thresholds[name] * fired
                counts[name].append(fired.sum())
                x = halved(fired.astype(float)) if self.pooled[name] else fired.astype(float)
        return counts, largest

    def balanced(self, spikes, scale):
        found = {}
        for name in self.weights:
            found[name] = self.run(spikes, found, upto=name)[1]
        return {name: scale * value for name, value in found.items()}


@each_row(("reset", "scale", "size"), [(soft_reset, 1.0, 4), (hard_reset, 1.0, 2), (soft_reset, 0.625, 1)])
def test_thresholds_and_spikes_are_those_of_a_small_loop(ann, images, reset, scale, size):
    encoder = PoissonEncoder(STEPS, mean=0.5, std=0.5)
    network = convert(ann, reset=reset)
    found = balance(network, encoder, pairs(images, size), scale=scale, seed=4)
    small = Small(ann, reset is hard_reset)
    spikes = encoder(images, seed=4, draw=BALANCING).numpy()
    assert found == small.balanced(spikes, scale) == thresholds_of(network)
    shown = encoder(images, seed=4, draw=1)
    counts, _ = small.run(shown.numpy(), found)
    trace = network.trace(shown)
    assert sum(map(sum, counts.values())) > 100
    for name, per_step in trace.spikes.items():
        assert per_step.sum(1).tolist() == counts[name], name


def test_what_they_were_before_does_not_matter(ann, images):
    network, encoder = convert(ann), PoissonEncoder(STEPS, mean=0.5, std=0.5)
    first = balance(network, encoder, pairs(images))
    assert balance(network, encoder, pairs(images), scale=0.5) == {name: 0.5 * v for name, v in first.items()}
    assert network.blocks["conv1"].synapse.weight.equal(ann.blocks["conv1"].synapse.weight)


def test_the_model_is_asked_for_some_steps_at_a_time(ann, images):
    asked = []

    class Watched(DirectEncoder):
        def spikes(self, x, **call):
            asked.append(len(call["steps"]))
            return super().spikes(x, **call)

    balance(convert(ann), Watched(13), pairs(images))
    assert max(asked) == 5
    assert sum(asked) == 13 * len(ann.blocks)


@pytest.mark.slow
def test_rates_follow_the_activations_of_a_net_with_biases(rng):
    """With an analog input and many steps, rate times the thresholds so far is the ANN's activation."""
    with torch.random.fork_rng():
        weights = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
    ann = nn.Sequential(nn.Flatten(), weights[0], nn.ReLU(), weights[1], nn.ReLU(), weights[2]).double()
    for parameter in ann.parameters():
        parameter.data = torch.rand(parameter.shape, generator=rng, dtype=torch.float64) - 0.4
    images, network = torch.rand(4, 1, 2, 3, generator=rng, dtype=torch.float64), convert(ann)
    for scale in (1.0, 1.25):
        thresholds = balance(network, DirectEncoder(20), pairs(images, 4), scale=scale)
        _, state = network.advance(images.expand(2000, *images.shape), measure=Measure(spikes=True, samples=True))
        size, x = 1.0, images
        for number, (name, threshold) in enumerate(thresholds.items()):
            size *= threshold
            x = ann[: 2 * number + 3](images)
            rates = state.measured[name].samples.mean(0) * size
            torch.testing.assert_close(rates, x.sum(1), rtol=0.02, atol=0.02)
        said = network(images.expand(2000, *images.shape)) * size
        torch.testing.assert_close(said, ann(images), rtol=0.02, atol=0.02)


def small(**options):
    return mlp(**{"in_features": 64, "hidden": (3,), "num_steps": 2, "norm": "none", **options})


def hooked():
    network = small()
    network.blocks["fc1"].register_forward_pre_hook(lambda block, args: (2 * args[0], *args[1:]))
    return network


def filled(value):
    """An ANN whose third convolution gives nothing above 0, or no numbers."""
    ann = vgg6(image_size=8, width=0.2, num_classes=3, num_steps=1, norm="none", neuron="relu")
    weight_of(ann.blocks["conv3"].synapse).data.fill_(value)
    return convert(ann)


@each_row(
    "network, named, options",
    [
        (filled(-1.0), "'conv3' is .*dead", {}),
        (filled(float("nan")), "'conv3' is nan", {}),
        (small(), "scale", {"scale": 0.0}),
        (small(), "scale", {"scale": float("nan")}),
        (small(), "no samples", {"batches": []}),
        (vgg6(image_size=8, width=0.2, num_steps=1, norm="none", neuron="relu"), "'conv1' .*Rectifier", {}),
        (resnet20(width=0.125, num_steps=2, norm="none"), "Residual", {}),
        (small(norm="bntt"), "'fc1' .*BNTT", {}),
        (small(decay_input=True), "'fc1' .*decay_input", {}),
        (hooked(), "'fc1' has a hook", {}),
    ],
)
def test_what_cannot_be_balanced_is_named(network, named, options, images):
    given = {"encoder": DirectEncoder(2), "batches": pairs(images.float()), **options}
    with pytest.raises(ValueError, match=named):
        balance(network, **given)


def test_thresholds_are_of_every_layer_or_refused_and_nothing_changes():
    network = small(in_features=2, hidden=(3, 3))
    network.blocks["fc1"].synapse.bias = nn.Parameter(torch.ones(3))
    network.readout.synapse.bias = nn.Parameter(torch.ones(10))
    register_parametrization(network.readout.synapse, "bias", nn.Tanh())
    for thresholds, biases, named in (
        ({"fc1": 2.0}, False, r"\['fc1'\].*\['fc1', 'fc2'\]"),
        ({"fc1": 2.0, "fc2": 0.0}, False, "threshold"),
        ({"fc1": 2.0, "fc2": 1.0}, True, "'bias' of this ParametrizedLinear"),
    ):
        with pytest.raises(ValueError, match=named):
            set_thresholds(network, thresholds, biases=biases)
        assert thresholds_of(network) == {"fc1": 1.0, "fc2": 1.0}
        assert torch.equal(network.blocks["fc1"].synapse.bias, torch.ones(3))
    network.blocks["fc2"].lif = network.blocks["fc1"].lif
    with pytest.raises(ValueError, match="'fc2' shares"):
        set_thresholds(network, {"fc1": 2.0, "fc2": 1.0})
    with pytest.raises(TypeError, match="'fc1' has FoldedLIF"):
        thresholds_of(fold(small(norm="bntt")))

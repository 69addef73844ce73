"""Thresholds of a converted network against a small loop in NumPy that shares nothing with it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from bntt.models import mlp, resnet20, vgg6
from bntt.nn import DirectEncoder, Measure, PoissonEncoder, fold, hard_reset, soft_reset
from bntt.training import balance, balancing, convert, set_thresholds, thresholds_of
from bntt.training.conversion import BALANCING
from tests.oracle import weight_of
from tests.rows import each_row

STEPS, IMAGES = 12, 5


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
    return [(part, torch.zeros(len(part), dtype=torch.int64)) for part in images.split(size)]


class Numbered:
    """Batches that say which image is which."""

    def __init__(self, images, size):
        self.images, self.size = images, size

    def __len__(self):
        return -(-len(self.images) // self.size)

    def epoch(self, draw):
        for index in torch.arange(len(self.images)).split(self.size):
            yield self.images[index], torch.zeros(len(index), dtype=torch.int64), index


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


@each_row(("reset", "scale"), [(soft_reset, 1.0), (hard_reset, 1.0), (soft_reset, 0.625)])
def test_thresholds_and_spikes_are_those_of_a_small_loop(ann, images, reset, scale):
    encoder = PoissonEncoder(STEPS, mean=0.5, std=0.5)
    network = convert(ann, reset=reset)
    found = balance(network, encoder, pairs(images), scale=scale, seed=4)
    small = Small(ann, reset is hard_reset)
    spikes = encoder(images, seed=4, draw=BALANCING).numpy()
    assert found == small.balanced(spikes, scale) == thresholds_of(network)
    shown = encoder(images, seed=4, draw=1)
    counts, _ = small.run(shown.numpy(), found)
    trace = network.trace(shown)
    assert sum(map(sum, counts.values())) > 100
    for name, per_step in trace.spikes.items():
        assert per_step.sum(1).tolist() == counts[name], name


def test_they_do_not_depend_on_the_batches(ann, images):
    network, encoder = convert(ann), PoissonEncoder(STEPS, mean=0.5, std=0.5)
    found = [balance(network, encoder, Numbered(images, size)) for size in (5, 2, 1)]
    assert found[0] == found[1] == found[2]


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

    balance(convert(ann), Watched(103), pairs(images))
    assert max(asked) == 5
    assert sum(asked) == 103 * len(ann.blocks)


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


def test_one_after_another_they_are_told(ann, images):
    network = convert(ann)
    told = list(balancing(network, DirectEncoder(60), pairs(images), scale=2.0))
    assert [name for name, _ in told] == list(ann.blocks)
    assert dict(told) == thresholds_of(network)


def test_a_dead_layer_is_named(ann, images):
    weight_of(ann.blocks["conv3"].synapse).data.abs_().neg_()
    with pytest.raises(ValueError, match=r"largest weighted input of layer 'conv3' is .*: the ANN's layer is dead"):
        balance(convert(ann), PoissonEncoder(STEPS, mean=0.5, std=0.5), pairs(images))
    weight_of(ann.blocks["conv3"].synapse).data[0].fill_(float("nan"))
    with pytest.raises(ValueError, match="weighted input of layer 'conv3' is nan: weights"):
        balance(convert(ann), PoissonEncoder(STEPS, mean=0.5, std=0.5), pairs(images))


@each_row(
    ("scale", "batches", "message"),
    [
        (0.0, 1, "scale of the thresholds must be a number above 0, got 0"),
        (float("nan"), 1, "above 0, got nan"),
        (1.0, 0, "no samples to balance"),
    ],
)
def test_what_cannot_be_balanced_with_is_refused(ann, images, scale, batches, message):
    with pytest.raises(ValueError, match=message):
        balance(convert(ann), DirectEncoder(2), pairs(images)[:batches], scale=scale)


def test_networks_that_cannot_be_balanced_are_refused(ann, images):
    with pytest.raises(ValueError, match="layer 'conv1' has no threshold to balance: it is a Rectifier"):
        balance(ann, DirectEncoder(2), pairs(images))
    with pytest.raises(ValueError, match="it is a Residual"):
        balance(resnet20(width=0.125, num_steps=2, norm="none"), DirectEncoder(2), pairs(images))
    with pytest.raises(ValueError, match="layer 'fc1' has a BNTT, and thresholds"):
        balance(mlp(in_features=64, hidden=(3,), num_steps=2), DirectEncoder(2), pairs(images))
    decays = mlp(in_features=64, hidden=(3,), num_steps=2, norm="none", decay_input=True)
    with pytest.raises(ValueError, match=r"layer 'fc1' decays its input, .* take decay_input=False"):
        balance(decays, DirectEncoder(2), pairs(images))


def test_biases_that_cannot_be_scaled_and_blocks_that_would_be_bypassed_are_refused(ann, images):
    network = convert(ann)
    network.blocks["conv2"].register_forward_pre_hook(lambda block, args: (2 * args[0], *args[1:]))
    with pytest.raises(ValueError, match="layer 'conv2' has a hook"):
        balance(network, DirectEncoder(2), pairs(images))
    network = mlp(in_features=2, hidden=(3, 3), num_steps=2, norm="none")
    network.blocks["fc1"].synapse.bias = nn.Parameter(torch.ones(3))
    network.readout.synapse.bias = nn.Parameter(torch.ones(10))
    register_parametrization(network.readout.synapse, "bias", nn.Tanh())
    with pytest.raises(ValueError, match="'bias' of this ParametrizedLinear is computed"):
        set_thresholds(network, {"fc1": 2.0, "fc2": 1.0}, biases=True)
    assert thresholds_of(network) == {"fc1": 1.0, "fc2": 1.0}
    assert torch.equal(network.blocks["fc1"].synapse.bias, torch.ones(3))


def test_thresholds_are_of_every_layer_or_refused():
    network = mlp(in_features=2, hidden=(3, 3), num_steps=2, norm="none")
    with pytest.raises(ValueError, match=r"of layers \['fc1'\], the network has \['fc1', 'fc2'\]"):
        set_thresholds(network, {"fc1": 2.0})
    with pytest.raises(ValueError, match="threshold must be a number above 0"):
        set_thresholds(network, {"fc1": 2.0, "fc2": 0.0})
    assert thresholds_of(network) == {"fc1": 1.0, "fc2": 1.0}
    with pytest.raises(TypeError, match="layer 'fc1' has FoldedLIF neurons, which have no one threshold"):
        thresholds_of(fold(mlp(in_features=2, hidden=(3,), num_steps=2)))
    network.blocks["fc2"].lif = network.blocks["fc1"].lif
    with pytest.raises(ValueError, match=r"layer 'fc2' shares its neurons: they cannot have 2\.0 and 1\.0"):
        set_thresholds(network, {"fc1": 2.0, "fc2": 1.0})

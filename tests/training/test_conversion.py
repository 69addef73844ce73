"""The weights of an ANN in a spiking network, or the part is named; its thresholds against a small loop in NumPy."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from bntt.engine.graph.recording import Measure
from bntt.models import mlp, resnet20, vgg6
from bntt.nn.blocks import Readout, SpikingBlock
from bntt.nn.encoders import DirectEncoder, PoissonEncoder
from bntt.nn.network.fold import fold
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import Rectifier
from bntt.nn.norms import BNTT, NoNorm
from bntt.ops.lif import fire_after, fire_before, hard_reset, soft_reset
from bntt.training import balance, convert, set_thresholds, thresholds_of
from bntt.training.conversion import BALANCING, read_sequential
from tests.oracle import weight_of
from tests.rows import each_row


def test_weights_are_copied_into_integrators():
    source = vgg6(image_size=8, width=0.25, num_steps=1, norm="none", neuron="relu", dropout=0.2)
    made = convert(source, reset=hard_reset, rule=fire_before)
    assert (made.num_steps, made.training) == (None, False)
    for name, value in source.state_dict().items():
        copied = made.state_dict()[name]
        assert torch.equal(copied, value)
        assert copied.data_ptr() != value.data_ptr()
    for block in made.blocks.values():
        neuron = block.lif.neuron
        assert (neuron.leak, neuron.threshold, neuron.reset, neuron.rule) == (1.0, 1.0, hard_reset, fire_before)
    assert not made.plan((3, 2, 1, 8, 8)).reason, "it runs fused"
    assert all(isinstance(block.lif, Rectifier) for block in source.blocks.values())
    usual = convert(source).blocks["fc1"].lif.neuron
    assert (usual.reset, usual.rule) == (soft_reset, fire_after)


def normalised():
    features = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.AvgPool2d(2), nn.Flatten()
    )
    head = nn.Sequential(nn.Linear(36, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(8, 3))
    return nn.Sequential(OrderedDict(features=features, head=head))


def repeated():
    """An activation, a pool and a block that a network passes more than once."""
    act, pool, block = nn.ReLU(), nn.AvgPool2d(3, 1, 1), nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    first = nn.Sequential(nn.Conv2d(1, 4, 3), act, pool, nn.Conv2d(4, 2, 3), act, pool, nn.Flatten())
    return nn.Sequential(first, nn.Linear(32, 8), act, block, block, nn.Linear(8, 3))


@each_row(
    "make, names, shape",
    [
        (normalised, ["features_0", "head_0"], (3, 1, 8, 8)),
        (repeated, ["0_0", "0_3", "1", "3_0", "4_0"], (3, 1, 8, 8)),
        (
            lambda: nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)),
            ["2"],
            (2, 1, 4, 4),
        ),
        (
            lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False), nn.ReLU(), nn.Linear(3, 2)),
            ["0"],
            (5, 4),
        ),
    ],
)
def test_a_plain_network_is_the_same_function_in_evaluation(make, names, shape, rng):
    with torch.random.fork_rng():
        net = make().eval()
    for value in [*net.parameters(), *(b for b in net.buffers() if b.is_floating_point())]:
        value.data = torch.rand(value.shape, generator=rng) + 0.1 - 0.5 * (value.ndim > 1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = x = torch.randn(shape, generator=rng)
    layers, readout = read_sequential(net)
    assert [name for name, _, _ in layers] == names
    for _, synapse, pool in layers:
        found = synapse(found).relu()
        found = found if pool is None else pool(found)
    torch.testing.assert_close(readout(found), net(x))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert len({id(synapse) for _, synapse, _ in layers}) == len(layers), "each has weights of its own"
    made = convert(net, reset=hard_reset)
    assert list(made.blocks) == names
    assert made.blocks[names[0]].lif.neuron.reset is hard_reset
    assert made(x.expand(3, *shape)).shape == net(x).shape


def block(**parts):
    return SpikingBlock(**{"synapse": nn.Conv2d(1, 2, 3, device="meta"), "norm": NoNorm(), "lif": Rectifier(), **parts})


def ours(readout=Readout, **parts):
    return SpikingNetwork({"a": block(**parts)}, readout(nn.Identity()))


class Other(Readout):
    pass


class Skip(nn.Sequential):
    """A residual connection, as it is often written."""

    def forward(self, x):
        return x + super().forward(x)


def hooked(part):
    part.register_forward_hook(lambda module, args, out: None)
    return part


WEIGHTS = nn.Linear(2, 2)
NAMES_MEET = OrderedDict(a=nn.Sequential(WEIGHTS, nn.ReLU()), a_0=WEIGHTS, b=nn.ReLU(), c=WEIGHTS)
UNTRACKED = nn.BatchNorm1d(2, track_running_stats=False)


@each_row(
    "network, named",
    [
        (resnet20(width=0.125, num_steps=1, norm="none", neuron="relu"), "layer 'block1' .*Residual"),
        (mlp(num_steps=1, norm="none"), "layer 'fc1' .*LIF"),
        (ours(norm=BNTT(2, 1)), "'a' .*BNTT"),
        (ours(pool=nn.MaxPool2d(2)), "'a' .*max"),
        (ours(dropout=NoNorm()), "'a' .*dropout is NoNorm"),
        (ours(lif=hooked(Rectifier())), "'a' .*hook"),
        (ours(Other), "readout .*Other"),
        ([nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), WEIGHTS], "'2', a MaxPool2d"),
        ([nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.ReLU(), WEIGHTS], "'1', a MaxPool2d"),
        ([nn.Conv2d(1, 2, 3), nn.ReLU(), nn.BatchNorm2d(2), WEIGHTS], "'2', a BatchNorm2d"),
        ([WEIGHTS, WEIGHTS], "'1', a Linear.*'0'"),
        ([WEIGHTS, nn.AvgPool2d(2), nn.ReLU(), WEIGHTS], "'1', a AvgPool2d"),
        ([WEIGHTS, nn.ReLU()], "output layer"),
        ([nn.Flatten(), WEIGHTS], "hidden layer"),
        ([Skip(WEIGHTS, nn.ReLU()), WEIGHTS], "'0', a Skip"),
        (Skip(WEIGHTS, nn.ReLU(), WEIGHTS), "'the ANN', a Skip"),
        ([WEIGHTS, hooked(nn.ReLU()), WEIGHTS], "'1', a ReLU"),
        ([spectral_norm(nn.Linear(2, 2)), nn.BatchNorm1d(2), nn.ReLU(), WEIGHTS], "'0', a ParametrizedLinear.*'1'"),
        ([WEIGHTS, UNTRACKED, nn.ReLU(), WEIGHTS], "'1', a BatchNorm1d.*statistics"),
        (nn.Sequential(NAMES_MEET), "'a_0'"),
    ],
)
def test_what_cannot_be_converted_is_named(network, named):
    with pytest.raises(ValueError, match=named):
        convert(nn.Sequential(*network) if isinstance(network, list) else network)


def test_layers_that_share_weights_get_their_own():
    shared = nn.Linear(4, 4, device="meta")
    made = convert(SpikingNetwork([block(synapse=shared), block(synapse=shared)], Readout(shared)))
    assert len({id(one) for one in made.parameters()}) == 3 * len(list(shared.parameters()))


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


def pre_hooked():
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
        (pre_hooked(), "'fc1' has a hook", {}),
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

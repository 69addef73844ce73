"""The weights of an ANN in a spiking network: a plain one is read as the same function, or the part is named."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from bntt.models import mlp, resnet20, vgg6
from bntt.nn import (
    BNTT,
    Readout,
    Rectifier,
    SpikingBlock,
    SpikingNetwork,
    fire_after,
    fire_before,
    hard_reset,
    soft_reset,
)
from bntt.nn.norms import NoNorm
from bntt.training import convert
from bntt.training.conversion import read_sequential
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

"""The weights of an ANN in a spiking network, or which part cannot be."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from bntt.models import mlp, resnet20, vgg6
from bntt.nn import (
    BNTT,
    LIF,
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
from tests.rows import each_row


def ann(**options):
    return vgg6(image_size=8, width=0.25, num_steps=1, norm="none", neuron="relu", **options)


def test_weights_are_copied_into_integrators():
    source = ann(dropout=0.2)
    made = convert(source, reset=hard_reset, rule=fire_before)
    assert made.num_steps is None
    assert not made.training
    for name, value in source.state_dict().items():
        copied = made.state_dict()[name]
        assert torch.equal(copied, value)
        assert copied.data_ptr() != value.data_ptr()
    for block in made.blocks.values():
        neuron = block.lif.neuron
        assert (neuron.leak, neuron.threshold, neuron.reset, neuron.rule) == (1.0, 1.0, hard_reset, fire_before)
    assert isinstance(source.blocks["conv1"].lif, Rectifier)
    assert convert(source).blocks["fc1"].lif.neuron.reset is soft_reset
    assert convert(source).blocks["fc1"].lif.neuron.rule is fire_after


def test_it_runs_fused():
    made = convert(ann())
    assert not made.plan((3, 2, 1, 8, 8)).reason
    assert made(torch.ones(7, 2, 1, 8, 8)).shape == (2, 10)


def test_a_plain_network_is_converted_layer_by_layer():
    with torch.random.fork_rng():
        plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 3))
    made = convert(plain, reset=hard_reset)
    assert list(made.blocks) == ["0"]
    assert made.blocks["0"].lif.neuron.reset is hard_reset
    assert isinstance(made.blocks["0"].pool, nn.Sequential)
    assert torch.equal(made.readout.synapse.weight, plain[4].weight)
    assert torch.equal(made.readout.synapse.bias, plain[4].bias)
    x = torch.arange(32.0).view(2, 1, 4, 4)
    assert torch.allclose(made.blocks["0"].synapse(x), plain[0](x))
    spikes = torch.arange(16.0).view(2, 2, 2, 2)
    assert torch.equal(made.blocks["0"].pool(spikes), plain[2:4](spikes))
    assert made(torch.ones(3, 2, 1, 4, 4)).shape == (2, 3)


def test_a_norm_without_affine_is_folded_and_names_do_not_meet(rng):
    with torch.random.fork_rng():
        plain = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False), nn.ReLU(), nn.Linear(3, 2)).eval()
        plain[1].running_mean.fill_(0.5)
        two = nn.Sequential(OrderedDict(a=nn.Sequential(nn.Linear(4, 4), nn.ReLU()), a_0=nn.Linear(4, 4)))
        two.extend([nn.ReLU(), nn.Linear(4, 2)])
    x = torch.rand(5, 4, generator=rng)
    torch.testing.assert_close(convert(plain).blocks["0"].synapse(x), plain[:2](x))
    with pytest.raises(ValueError, match="two parts that would both be layer 'a_0'"):
        convert(two)


def block(**parts):
    return SpikingBlock(**{"synapse": nn.Conv2d(1, 2, 3, device="meta"), "norm": NoNorm(), "lif": Rectifier(), **parts})


class Other(Readout):
    pass


HOOKED = Rectifier()
HOOKED.register_forward_hook(lambda module, args, out: None)


@each_row(
    ("network", "message"),
    [
        (resnet20(width=0.125, num_steps=1, norm="none", neuron="relu"), "layer 'block1' .*Residual"),
        (mlp(num_steps=1, norm="none"), "layer 'fc1' cannot be converted: its neurons are LIF.*neuron='relu'"),
        (SpikingNetwork({"a": block(norm=BNTT(2, 1))}, Readout(nn.Identity())), "'a'.*its norm is BNTT.*norm="),
        (SpikingNetwork({"a": block(pool=nn.MaxPool2d(2))}, Readout(nn.Identity())), "'a'.*average pooling"),
        (SpikingNetwork({"a": block(dropout=NoNorm())}, Readout(nn.Identity())), "'a'.*its dropout is NoNorm"),
        (SpikingNetwork({"a": block(lif=HOOKED)}, Readout(nn.Identity())), "'a' cannot be converted: .*has a hook"),
        (SpikingNetwork({"a": block()}, Other(nn.Identity())), "the readout cannot be converted: it is a Other"),
    ],
)
def test_what_cannot_be_converted_is_named(network, message):
    with pytest.raises(ValueError, match=message):
        convert(network)


def test_layers_that_share_weights_get_their_own():
    shared = nn.Linear(4, 4, device="meta")
    ann = SpikingNetwork([block(synapse=shared), block(synapse=shared)], Readout(shared))
    made = convert(ann)
    assert len({id(one) for one in made.parameters()}) == 3 * len(list(shared.parameters()))


def test_the_source_keeps_its_neurons():
    source = ann()
    before = [block.lif for block in source.blocks.values()]
    made = convert(source)
    assert all(block.lif is own for block, own in zip(source.blocks.values(), before, strict=True))
    assert all(isinstance(block.lif, LIF) for block in made.blocks.values())

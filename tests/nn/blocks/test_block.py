"""A block is synapse, norm, neurons, pool, in that order."""

import pytest
import torch
from torch import nn

from bntt.nn import (
    LIF,
    Call,
    Compute,
    CurrentBlock,
    LayerBlock,
    NeuronBlock,
    NoNorm,
    Readout,
    Residual,
    SpikeDropout,
    SpikingBlock,
    SpikingNetwork,
)


@pytest.fixture
def block(rng):
    conv = nn.utils.skip_init(nn.Conv2d, 2, 3, 3, padding=1, bias=False)
    nn.init.normal_(conv.weight, generator=rng)
    return SpikingBlock(conv.double(), NoNorm(), LIF(), nn.AvgPool2d(2))


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_parts_set_after_building_change_themselves_alone(backend, rng):
    x = 2 * torch.rand(4, 6, 8, generator=rng)

    def logits(place="", part="", value=None):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body = CurrentBlock(nn.Linear(8, 8, bias=False), NoNorm())
            last = SpikingBlock(nn.Linear(8, 8, bias=False), NoNorm(), LIF(threshold=0.3))
            readout = Readout(nn.Linear(8, 3, bias=False))
        net = SpikingNetwork([Residual({"body": body}, after=NeuronBlock(LIF(threshold=0.3))), last], readout).train()
        if place:
            setattr({"body": body, "last": last}[place], part, value)
        net.compute = Compute(backend)
        return net(x)

    whole = logits()
    for place, part in (("last", "norm"), ("last", "pool"), ("body", "norm")):
        assert torch.allclose(logits(place, part), whole, atol=1e-6), f"{place}.{part}: the identity, taken away"
    assert not torch.allclose(logits("body", "dropout", SpikeDropout(0.9)), whole, atol=1e-2)


def test_any_cut_is_the_whole(block, rng):
    x = torch.randn(4, 2, 2, 6, 6, generator=rng, dtype=torch.float64)
    (expected, last), state = block(x), None
    for t in range(4):
        y, state = block(x[t : t + 1], Call(t), state)
        assert torch.allclose(y[0], expected[t], atol=1e-14)
    assert torch.equal(state.membrane, last.membrane)


def test_the_pool_does_not_respike(block, rng):
    x = torch.randn(4, 2, 2, 6, 6, generator=rng, dtype=torch.float64)
    assert {0.25, 0.5} <= set(block(x)[0].unique().tolist()) <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_its_layer_is_listed_and_its_neurons_see_everything_before_the_pool(block, rng):
    (layer,) = block.layers
    assert layer == ("", block.synapse, block.norm, block.lif)
    x = torch.randn(1, 2, 2, 6, 6, generator=rng, dtype=torch.float64)
    _, state = block(x)
    assert state.membrane.shape == (2, 3, 6, 6)


def test_parts_that_are_no_stages_are_refused(block):
    with pytest.raises(TypeError, match=r"a block's norm must take .*BatchNorm2d takes \(input\)"):
        SpikingBlock(block.synapse, nn.BatchNorm2d(3), LIF())
    with pytest.raises(TypeError, match=r"a block's lif must take .*ReLU takes \(input\)"):
        SpikingBlock(block.synapse, NoNorm(), nn.ReLU())
    with pytest.raises(TypeError, match=r"a block has weights and a norm, or neither: bntt\.nn\.NoNorm\(\)"):
        LayerBlock(block.synapse, None, LIF())

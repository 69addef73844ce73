"""A block is synapse, norm, neurons, pool, in that order."""

import pytest
import torch
from torch import nn

from bntt.nn import (
    LIF,
    Compute,
    CurrentBlock,
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


def test_its_neurons_see_everything_before_the_pool_which_does_not_respike(block, rng):
    spikes, state = block(torch.randn(4, 2, 2, 6, 6, generator=rng, dtype=torch.float64))
    assert {0.25, 0.5} <= set(spikes.unique().tolist()) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert state.membrane.shape == (2, 3, 6, 6)
    assert block.layers == (("", block.synapse, block.norm, block.lif),)

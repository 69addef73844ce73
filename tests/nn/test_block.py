"""A block is synapse, norm, neurons, pool, in that order."""

import pytest
import torch
from torch import nn

from bntt.nn import LIF, NoNorm, SpikingBlock
from bntt.nn.block import fold_time


@pytest.fixture
def block(rng):
    conv = nn.utils.skip_init(nn.Conv2d, 2, 3, 3, padding=1, bias=False)
    nn.init.normal_(conv.weight, generator=rng)
    return SpikingBlock(conv.double(), NoNorm(), LIF(), nn.AvgPool2d(2))


def test_both_forms_agree(block, rng):
    x = torch.randn(4, 2, 2, 6, 6, generator=rng, dtype=torch.float64)
    expected, state = block(x), None
    for t in range(4):
        y, state = block.step(x[t], t, state)
        assert torch.allclose(y, expected[t], atol=1e-14)


def test_the_pool_does_not_respike(block, rng):
    x = torch.randn(4, 2, 2, 6, 6, generator=rng, dtype=torch.float64)
    assert set(block(x).unique().tolist()) <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_fire_step_stops_before_the_pool(block, rng):
    x = torch.randn(2, 2, 6, 6, generator=rng, dtype=torch.float64)
    spikes, state = block.fire_step(x, 0)
    assert spikes.shape == state.membrane.shape == (2, 3, 6, 6)


def test_fold_time_is_a_loop_over_time(rng):
    x = torch.randn(4, 2, 2, 6, 6, generator=rng)
    pool = nn.AvgPool2d(3)
    assert torch.equal(fold_time(pool, x), torch.stack([pool(step) for step in x]))

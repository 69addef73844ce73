"""The kernels' spikes are those of the equations, to the bit."""

import pytest
import torch

from bntt.engine.rate_coding import poisson_bytes
from bntt.ops.poisson import signed_rate, unsigned_rate
from bntt.ops.random import Purpose, sample_keys, step_keys, uniform
from tests.kernels import needs_kernels, variant

pytestmark = needs_kernels
_ = variant


@pytest.mark.parametrize("signed", [True, False])
def test_every_spike_is_that_of_the_equation(signed, variant, rng):
    x = torch.rand(3, 2, 5, 7, generator=rng) * (4 if signed else 1) - (2 if signed else 0)
    keys = step_keys(sample_keys(9, Purpose.SPIKES, 4, torch.tensor([5, 1, 7])), torch.arange(6))
    spikes = poisson_bytes(x, keys, signed=signed)
    rate = signed_rate if signed else unsigned_rate
    assert torch.equal(spikes.float(), rate(x, uniform(keys, 2, 5, 7)))

"""Rates of the two codes (promise N8)."""

import math

import pytest
import torch

from bntt.ops.poisson import expectation, expected, signed_rate, unsigned_rate
from bntt.ops.random import Purpose, sample_keys, uniform
from tests.rows import each_row

DRAWS = 100_000


@pytest.fixture(scope="module")
def u():
    return uniform(sample_keys(11, Purpose.SPIKES, 0, torch.arange(100)), DRAWS // 100).flatten()


@each_row(
    "rate, level, p",
    [
        *((signed_rate, x / 4, min(1.0, abs(x) / 8)) for x in range(-10, 11)),
        *((unsigned_rate, x / 20, x / 20) for x in range(21)),
    ],
)
def test_rates_at_21_levels(rate, level, p, u):
    """sign(x) · min(1, |x|/2), or x, within four standard errors of 100,000 draws; at 0 never, from 2 on always."""
    spikes = rate(torch.full((DRAWS,), level), u)
    assert set(spikes.unique().tolist()) <= {0.0, math.copysign(1.0, level)}
    assert abs(spikes.abs().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / DRAWS) + 2**-23 * (0 < p < 1)


@each_row("signed", [True, False])
def test_the_estimator_is_the_derivative_of_the_expectation(signed):
    x = torch.tensor([-3.0, -1.5, 0.25, 1.5, 3.0] if signed else [0.25, 0.5, 0.75], requires_grad=True)
    expectation(x, signed).sum().backward()
    assert torch.equal(x.grad, expected(x.detach(), signed))

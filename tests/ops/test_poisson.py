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


@each_row("level", [x / 4 for x in range(-10, 11)])
def test_signed_rate_at_21_levels(level, u):
    """sign(x) · min(1, |x|/2), within four standard errors of 100,000 draws."""
    spikes = signed_rate(torch.full((DRAWS,), level), u)
    p = min(1.0, abs(level) / 2)
    assert set(spikes.unique().tolist()) <= {0.0, math.copysign(1.0, level)}
    assert abs(spikes.abs().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / DRAWS) + 2**-23


@each_row("level", [x / 20 for x in range(21)])
def test_unsigned_rate_at_21_levels(level, u):
    spikes = unsigned_rate(torch.full((DRAWS,), level), u)
    assert abs(spikes.mean().item() - level) <= 4 * math.sqrt(level * (1 - level) / DRAWS) + 2**-23


def test_the_datasets_mean_never_fires():
    assert (signed_rate(torch.zeros(DRAWS), torch.zeros(DRAWS)) == 0).all()
    assert (unsigned_rate(torch.zeros(DRAWS), torch.zeros(DRAWS)) == 0).all()


def test_saturation_beyond_two(u):
    assert (signed_rate(torch.full((DRAWS,), -2.0), u) == -1).all()


@each_row("signed", [True, False])
def test_the_estimator_is_the_derivative_of_the_expectation(signed):
    x = torch.tensor([-3.0, -1.5, 0.25, 1.5, 3.0] if signed else [0.25, 0.5, 0.75], requires_grad=True)
    expectation(x, signed).sum().backward()
    assert torch.equal(x.grad, expected(x.detach(), signed))

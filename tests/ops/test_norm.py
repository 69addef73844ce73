"""Per-step moments, pooling and normalisation against definitions; Eq. 10 and 11 against autograd."""

import numpy as np
import pytest
import torch

from bntt.ops.norm import Moments, moment_sums, moments_of_sums, normalize, pool_moments, step_moments, update_running
from bntt.ops.pooling import AllSteps, Window
from tests import reference


@pytest.fixture
def x(rng):
    return torch.randn(6, 5, 3, 4, 2, generator=rng, dtype=torch.float64)


def test_variance_far_from_zero():
    """Right at mean/std = 1e3, in float32: a one-pass sum of squares would lose it."""
    generator = torch.Generator().manual_seed(0)
    x = 1000 + torch.randn(2, 4096, 3, generator=generator)
    exact = step_moments(x.double()).var
    assert torch.allclose(step_moments(x).var.double(), exact, rtol=1e-4)
    pooled, exact_pooled = (pool_moments(step_moments(v), AllSteps().weights(2)).var.double() for v in (x, x.double()))
    assert torch.allclose(pooled, exact_pooled, rtol=1e-4)


def test_pooling_over_all_steps_is_the_folded_batch(x):
    pooled = pool_moments(step_moments(x), AllSteps().weights(6))
    each, shared = ((torch.zeros(rows, x.shape[2]), torch.ones(rows, x.shape[2])) for rows in (6, 1))
    for running in (each, shared):
        update_running(*running, pooled, 0.3)
    assert all(torch.equal(many, one.expand_as(many)) for many, one in zip(each, shared, strict=True))
    folded = step_moments(x.reshape(1, 30, 3, 4, 2))
    assert pooled.count == folded.count
    for found, expected in ((pooled.mean, folded.mean), (pooled.var, folded.var)):
        assert torch.allclose(found, expected, atol=1e-14)


def test_pooling_over_past_steps_never_looks_ahead(x):
    pooled = pool_moments(step_moments(x), Window(None).weights(6))
    for t in range(6):
        prefix = x[: t + 1].numpy()
        assert np.allclose(pooled.mean[t], prefix.mean((0, 1, 3, 4)), atol=1e-14)
        assert np.allclose(pooled.var[t], prefix.var((0, 1, 3, 4)), atol=1e-14)
        assert pooled.count[t] == 40 * (t + 1)


def test_eq_10_and_11_against_autograd(x, rng):
    """The paper's backward equations, written out in the oracle, are what autograd computes (1e-12)."""
    x = x.requires_grad_()
    gamma = torch.randn(6, 3, generator=rng, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(x.shape, generator=rng, dtype=torch.float64)
    moments = step_moments(x)
    normalize(x, moments.mean, moments.var, gamma).backward(upstream)
    for t in range(6):
        z = x[t].detach().numpy()
        mean, var = z.mean((0, 2, 3)), z.var((0, 2, 3))
        g = gamma[t].detach().numpy()
        _, xhat = reference.bntt(z, g, mean, var, 1e-4)
        dx, dgamma = reference.bntt_backward(upstream[t].numpy(), xhat, g, var, 1e-4)
        assert np.abs(dx - x.grad[t].numpy()).max() <= 1e-12
        assert np.abs(dgamma - gamma.grad[t].numpy()).max() <= 1e-12


def test_running_averages_take_the_unbiased_variance():
    mean, var = torch.zeros(2, 1), torch.ones(2, 1)
    batch = Moments(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]), (4, 4))
    update_running(mean, var, batch, 0.1)
    assert torch.allclose(mean, torch.tensor([[0.1], [0.2]]))
    assert torch.allclose(var, 0.9 + 0.1 * torch.tensor([[4.0], [16 / 3]]))


def test_shared_running_averages_take_the_steps_in_order():
    """One running row and two batch rows: (0·½ + 1·½)·½ + 2·½ = 1.25, which the other order would not give."""
    mean, var = torch.zeros(1, 1), torch.ones(1, 1)
    batch = Moments(torch.tensor([[1.0], [2.0]]), torch.ones(2, 1), (10**9, 10**9))
    update_running(mean, var, batch, 0.5)
    assert mean.item() == 1.25


def test_every_row_belongs_to_its_own_step(x):
    """Metamorphic: shuffling time shuffles the result only together with the rows."""
    gamma = torch.arange(1.0, 7.0, dtype=torch.float64).unsqueeze(1).expand(6, 3)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    moments = step_moments(x)
    y = normalize(x, moments.mean, moments.var, gamma)
    shuffled = normalize(x[order], moments.mean[order], moments.var[order], gamma[order])
    assert torch.equal(y[order], shuffled)
    assert not torch.equal(y[order], normalize(x[order], moments.mean[order], moments.var[order], gamma))


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_sums_of_parts_are_those_of_the_batch(x, offset):
    """Of unequal parts, also where the mean is a thousand deviations away; gradients too."""
    x = (x + offset).requires_grad_()
    whole = step_moments(x)
    parts = moments_of_sums(sum(moment_sums(step_moments(part)) for part in x.split((1, 4), 1)))
    weights = torch.linspace(1, 2, 18, dtype=torch.float64).reshape(6, 3)
    assert parts.count == whole.count
    gradients = []
    for one in (whole, parts):
        loss = (weights * one.mean).sum() + (weights.flip(0) * one.var).sum()
        gradients.append(torch.autograd.grad(loss, x, retain_graph=True)[0])
    for ours, theirs in ((parts.mean, whole.mean), (parts.var, whole.var), gradients):
        assert torch.allclose(ours, theirs, rtol=1e-8)

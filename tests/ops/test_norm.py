"""Per-step moments, pooling over time and normalisation against definitions; Eq. 10 and 11 against autograd."""

import numpy as np
import pytest
import torch

from bntt.ops.norm import Moments, moment_sums, moments_of_sums, normalize, pool_moments, step_moments, update_running
from bntt.ops.pooling import AllSteps, Window
from tests import reference
from tests.rows import each_row


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


STEPS = 7
CAUSAL = [Window(0), Window(1), Window(3), Window(20), Window(None)]


def some(rng) -> Moments:
    return step_moments(torch.randn(STEPS, 4, 3, 2, generator=rng, dtype=torch.float64) + 5)


def rows(moments: Moments, which: slice) -> Moments:
    return Moments(moments.mean[which], moments.var[which], moments.count[which])


@each_row("cut", [[7], [3, 4], [1] * 7, [2, 1, 4]])
@each_row("pooling", CAUSAL)
def test_any_cut_is_the_matrix(pooling, cut, rng):
    own, kept, first = some(rng), None, 0
    expected = pool_moments(own, pooling.weights(STEPS))
    for size in cut:
        pooled, kept = pooling.extend(kept, rows(own, slice(first, first + size)))
        part = rows(expected, slice(first, first + size))
        assert torch.allclose(pooled.mean, part.mean, rtol=0, atol=1e-14)
        assert torch.allclose(pooled.var, part.var, rtol=0, atol=1e-13)
        assert pooled.count == part.count
        first += size


@each_row("pooling, kept", [(Window(0), None), (Window(1), 1), (Window(3), 3), (Window(None), 1)])
def test_what_is_kept_does_not_grow(pooling, kept, rng):
    _, held = pooling.extend(None, some(rng))
    assert (None if held is None else len(held.count)) == kept


@each_row("pooling", [*CAUSAL, AllSteps()])
def test_rows_are_averages_that_look_ahead_only_where_they_say_so(pooling):
    weights = pooling.weights(STEPS)
    assert torch.allclose(weights.sum(1), torch.ones(len(weights), dtype=torch.float64))
    assert bool(weights.triu(1).any()) == pooling.looks_ahead


def test_steps_of_different_size_weigh_by_their_values():
    """Two values 0, 0 and six values 4: mean 3, variance 3."""
    past, own = (Moments(torch.tensor([[m]]), torch.zeros(1, 1), (n,)) for m, n in ((0.0, 2), (4.0, 6)))
    pooled, _ = Window(None).extend(past, own)
    assert (pooled.mean.item(), pooled.var.item(), pooled.count) == (3, 3, (8,))


def test_a_window_that_reaches_forward_is_refused():
    with pytest.raises(ValueError, match="a whole number of steps"):
        Window(-1)

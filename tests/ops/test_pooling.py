"""Pooling over time: extended in any cut, it is its matrix; and the matrices are those of the papers."""

import pytest
import torch

from bntt.ops.norm import Moments, pool_moments, step_moments
from bntt.ops.pooling import AllSteps, Window
from tests.rows import each_row

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

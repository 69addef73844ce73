"""Statistics that were given, the batch's, and those of the batch of all processes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bntt.engine.graph.layer import as_given, by_batch, towards_current
from bntt.ops.norm import Moments, add_up, joined_moments, moment_sums, normalize, step_moments
from bntt.ops.pooling import AllSteps, Window
from tests.engine.graph.test_layer import flat_layer

WAYS = (False, False)


def test_given_statistics_are_those_of_the_steps_and_do_not_move_with_the_running_ones():
    given = torch.arange(21.0).reshape(3, 7)
    found = as_given(flat_layer(torch.zeros(7, 120), given), slice(1, 3), WAYS)
    assert found.moments is None
    assert torch.allclose(found.inverse, (given[1:] + 1e-4).rsqrt())
    before = given[1:].clone()
    given.zero_()
    assert torch.equal(found.affine.mean, before)


def test_the_statistics_of_all_processes_are_those_of_their_batches_as_one(rng):
    x = torch.randn(4, 12, 7, generator=rng, dtype=torch.float64) * 3 + 50
    parts = [x[:, :5], x[:, 5:]]
    own = [Moments(p.float().mean(1), p.float().var(1, correction=0), (p.shape[1],) * 4) for p in parts]
    calls = []

    def reduce(sums):
        calls.append(sums.shape)
        return sums.add_(moment_sums(own[1]))

    steps = [Moments(own[0].mean[i : i + 2], own[0].var[i : i + 2], (5, 5)) for i in (0, 2)]
    found = add_up(joined_moments(steps), reduce)
    assert calls == [(4, 15)]
    assert found.count == (12,) * 4
    assert found.mean.dtype == torch.float32
    assert torch.allclose(found.mean.double(), x.mean(1), rtol=1e-6)
    assert torch.allclose(found.var.double(), x.var(1, correction=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "cut"),
    [
        (Window(0), [2, 4]),
        (Window(1), [6]),
        (Window(1), [1, 3, 2]),
        (Window(None), [6]),
        (Window(None), [1, 3, 2]),
        (AllSteps(), [6]),
    ],
    ids=str,
)
def test_what_comes_to_a_current_through_pooled_statistics(pooling, cut, rng):
    """Against autograd in float64, span after span as the backward pass meets them."""
    x = (torch.randn(6, 5, 1, 1, 3, generator=rng).double() * 2 + 1).requires_grad_()
    gamma, g = (torch.randn(6, *shape, generator=rng).double() for shape in ((3,), (5, 1, 1, 3)))
    layer = replace(flat_layer(torch.zeros(3, 4)), gamma=gamma, beta=None, pooling=pooling)
    own = step_moments(x.permute(0, 1, 4, 2, 3))
    pooled, _ = pooling.extend(None, own)
    normalize(x.permute(0, 1, 4, 2, 3), pooled.mean, pooled.var, gamma, eps=layer.eps).backward(
        g.permute(0, 1, 4, 2, 3)
    )
    past, found, first = None, [], 0
    for size in cut:
        steps = slice(first, first + size)
        part = Moments(own.mean.detach()[steps], own.var.detach()[steps], own.count[steps])
        found.append((steps, by_batch(layer, steps, part, past, WAYS)))
        past, first = found[-1][1].carried, first + size
    later = None
    for steps, one in reversed(found):
        centred = x.detach()[steps] - one.affine.mean[:, None, None, None]
        xhat = centred * one.inverse[:, None, None, None]
        sums = torch.stack([g[steps].sum((1, 2, 3)), (g[steps] * xhat).sum((1, 2, 3))])
        offset, slope, later = towards_current(layer, one, sums, later)
        over = [table.double()[:, None, None, None] for table in (one.affine.scale, offset, slope)]
        assert torch.allclose(over[0] * g[steps] - over[1] - over[2] * centred, x.grad[steps], atol=2e-6)

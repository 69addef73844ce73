"""Statistics that were given, the batch's, and those of the batch of all processes."""

from __future__ import annotations

import torch

from bntt.engine.normalisation import current_moments, normalisation, of_all_processes
from bntt.ops.norm import Moments, moment_sums
from tests.engine.test_layer import flat_layer
from tests.kernels import needs_kernels

WAYS = (False, False)


@needs_kernels
def test_the_batchs_statistics_are_found_and_used(rng):
    current = torch.randn(3, 8, 1, 1, 7, generator=rng) + 5
    batch = current_moments(current)
    found = normalisation(flat_layer(torch.zeros(7, 120)), slice(0, 3), batch, WAYS)
    assert batch.count == (8, 8, 8)
    assert found.moments is batch
    assert torch.allclose(found.affine.scale, 2 * found.inverse)
    assert torch.allclose(found.affine.mean, current.mean((1, 2, 3)), atol=1e-6)


def test_given_statistics_are_those_of_the_steps_and_do_not_move_with_the_running_ones():
    given = torch.arange(21.0).reshape(3, 7)
    found = normalisation(flat_layer(torch.zeros(7, 120), given), slice(1, 3), None, WAYS)
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
    found = of_all_processes(steps, reduce)
    assert calls == [(4, 15)]
    assert found.count == (12,) * 4
    assert found.mean.dtype == torch.float32
    assert torch.allclose(found.mean.double(), x.mean(1), rtol=1e-6)
    assert torch.allclose(found.var.double(), x.var(1, correction=0), rtol=1e-5)

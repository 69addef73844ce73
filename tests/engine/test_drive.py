"""A normalised current without neurons, against autograd in float64."""

from __future__ import annotations

import pytest
import torch

from bntt.engine.drive import DriveReverse, drive
from bntt.engine.layer_spec import Affine, SpikeGrad


@pytest.mark.parametrize(("shared", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_way_there_and_back(shared, dtype, rng):
    current = torch.randn(3, 4, 5, 2, 7, generator=rng).to(dtype)
    mean, scale, shift, inverse = (torch.rand(3, 7, generator=rng) + 0.5 for _ in range(4))
    z = torch.empty(current.shape)
    drive(current, Affine(mean, scale, shift), z)
    x = current.double().requires_grad_()
    tables = [rows.double()[:, None, None, None].requires_grad_() for rows in (mean, scale, shift)]
    exact = (x - tables[0]) * tables[1] + tables[2]
    assert torch.allclose(z.double(), exact, atol=1e-6)
    grad = SpikeGrad(torch.randn(1 if shared else 3, 4, 5, 2, 7, generator=rng), 0.5)
    full = (0.5 * grad.values).expand_as(z)
    exact.backward(full.double())
    reverse = DriveReverse(current, Affine(mean, scale, shift), inverse, grad)
    sums = reverse.sums()
    assert torch.allclose(sums[0], tables[2].grad[:, 0, 0, 0], rtol=1e-5)
    by_gamma = tables[1].grad[:, 0, 0, 0] * inverse
    assert torch.allclose(sums[1], by_gamma, rtol=1e-4, atol=1e-4)
    offset, slope = torch.randn(3, 7, generator=rng), torch.randn(3, 7, generator=rng)
    expected = x.grad - offset[:, None, None, None] - slope[:, None, None, None] * (x - tables[0])
    reverse.into_current(offset, slope, current)
    assert torch.allclose(current.double(), expected, atol=1e-5 if dtype == torch.float32 else 0.05)

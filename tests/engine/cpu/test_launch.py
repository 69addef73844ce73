"""What goes to the compiled kernels must lie as they expect; their rate coding is the equations', to the bit."""

import math

import pytest
import torch
import torch.nn.functional as F

from bntt.engine.cpu.launch import moments, rectify, rectify_reverse, scan, scan_sums
from bntt.engine.layer_spec import Affine, Reverse, SpikeGrad
from bntt.engine.synapse import Geometry, Spikes, Synapse
from bntt.ops.lif import Neuron
from tests.grids import pairs
from tests.kernels import VARIANTS, needs_kernels, using, variant

pytestmark = needs_kernels
_ = variant


def test_a_tensor_that_lies_otherwise_is_refused():
    with pytest.raises(TypeError, match="float32 of 768"):
        moments(torch.zeros(2, 3, 4, 4, 8).transpose(2, 3))
    current, affine = torch.zeros(2, 3, 1, 1, 8), Affine.identity(2, 8, torch.device("cpu"))
    with pytest.raises(TypeError, match=r"counts .*uint8 of 48"):
        scan(current, affine, Neuron(), (1, 1), torch.empty(2, 3, 1, 1, 16, dtype=torch.uint8)[..., ::2])


def test_threads_that_have_no_work_take_no_memory(monkeypatch):
    """For each of so many there would be none."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1 << 30)
    current, rows = torch.ones(2, 3, 1, 1, 8), torch.ones(2, 8)
    affine, counts = Affine(rows, rows, rows), torch.empty(current.shape, dtype=torch.uint8)
    assert scan(current, affine, Neuron(), (1, 1), counts).tolist() == [[0] * 8, [3] * 8]
    scan_sums(Reverse(current, affine, rows, Neuron(), (1, 1), SpikeGrad(torch.ones_like(current))))
    out = Synapse(torch.ones(4, 8), None, Geometry()).forward(Spikes(counts), events=True)
    assert out.flatten(1).unique(dim=1).tolist() == [[0.0], [8.0]]


@pairs(
    shape=[(3, 5, 7, 33), (2, 4, 6, 16), (70, 1, 1, 21), (1, 9, 9, 130)],
    window=[(1, 1), (2, 2), (3, 2), "whole"],
    floor=[0.0, -math.inf],
    batch=[True, False],
)
def test_rectified_currents_and_their_gradients_are_the_equations(shape, window, floor, batch, rng):
    window = shape[1:3] if window == "whole" else tuple(map(min, window, shape[1:3]))
    channels, over, count = shape[3], (0, 1, 2), math.prod(shape[:3])
    x = torch.randn(shape, generator=rng) * 3 + 1
    grad = torch.randn(shape[0], shape[1] // window[0], shape[2] // window[1], channels, generator=rng)
    mean, var, gamma, beta = torch.rand(4, 1, channels, generator=rng) + 0.5
    if batch:
        mean, var = x.mean(over)[None], x.var(over, correction=0)[None]
    inverse = (var + 1e-3).rsqrt()

    exact, shift, scale = (one.double().requires_grad_() for one in (x, beta, gamma))
    own = (exact.mean(over), exact.var(over, correction=0)) if batch else (mean.double(), var.double())
    drive = (exact - own[0]) / (own[1] + 1e-3).sqrt() * scale + shift
    images = (drive if floor else drive.relu()).permute(0, 3, 1, 2)
    wanted = F.avg_pool2d(images, window).permute(0, 2, 3, 1)
    towards = torch.autograd.grad(wanted, [exact, shift, scale], grad.double())

    job = x, Affine(mean, gamma * inverse, beta), window, floor
    for name in VARIANTS:
        with using(name):
            torch.set_num_threads(1)
            found, (current, sums) = rectify(*job), rectify_reverse(*job, grad, inverse, batch=batch)
            torch.set_num_threads(3)
            again = rectify(*job), *rectify_reverse(*job, grad, inverse, batch=batch)
        for one, other in zip((found, current, *sums), (wanted, *towards), strict=True):
            torch.testing.assert_close(one.double(), other.detach(), rtol=1e-5, atol=1e-5 * count**0.5)
        assert all(map(torch.equal, (found, current, sums), again))


def test_what_is_not_a_number_is_not_rectified_away(variant):
    x = torch.tensor([-1.0, torch.nan, 2.0]).repeat(11)[None, None, None]
    assert torch.equal(rectify(x, Affine.identity(1, 33, x.device), (1, 1), 0.0).isnan(), x.isnan())

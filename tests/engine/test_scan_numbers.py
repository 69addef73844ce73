"""The fused scan at the borders of numbers: large means, NaN, bfloat16, no neurons."""

import itertools

import pytest
import torch

from bntt.engine.cpu.launch import moments, scan, scan_reverse
from bntt.engine.graph.layer import drive, drive_reverse, drive_sums
from bntt.engine.layer_spec import Affine, Reverse, SpikeGrad, pooled_shape
from bntt.ops.lif import Neuron
from tests.engine.test_scan import IN_TURN, SHAPES, affine_of, make, rows_of
from tests.kernels import VARIANTS, needs_kernels, scan_backward, using, variant

pytestmark = needs_kernels
_ = variant


@pytest.mark.parametrize("shape", [*SHAPES, (2, 70, 6, 6, 19, (1, 1))], ids=str)
def test_moments_are_right_a_thousand_deviations_away(shape, rng):
    steps, batch, height, width, channels, _ = shape
    normal = torch.randn(steps, batch, height, width, channels, generator=rng)
    for offset, name in itertools.product((0.0, 1e3), VARIANTS):
        current = normal + offset
        copy, wide = torch.empty_like(current), current.double()
        with using(name):
            mean, var = moments(current, copy)
        assert torch.equal(copy, current), name
        assert torch.allclose(mean.double(), wide.mean((1, 2, 3)), rtol=1e-6, atol=1e-6), name
        assert torch.allclose(var.double(), wide.var((1, 2, 3), correction=0), rtol=2e-6, atol=1e-7), name


def test_the_smallest_numbers_are_0_on_all_threads_or_on_none():
    """PyTorch may be asked for it before or after the first kernel ran."""
    torch.set_num_threads(3)
    current, rows = torch.zeros(1, 1 << 16, 1, 1, 64), torch.zeros(1, 64)
    counts = torch.empty(current.shape, dtype=torch.uint8)
    for flush in (False, True, False):
        membrane = torch.full(current.shape[1:], 1.5e-38)
        torch.set_flush_denormal(flush)
        try:
            scan(current, Affine(rows, rows, rows), Neuron(0.5), (1, 1), counts, membrane)
        finally:
            torch.set_flush_denormal(False)
        assert (membrane.view(torch.int32) == 0).unique().tolist() == [flush]


def test_a_nan_current_never_fires_and_its_gradient_shows_it(variant):
    current = torch.full((3, 2, 1, 1, 18), float("nan"))
    affine = Affine(torch.zeros(3, 18), torch.ones(3, 18), torch.zeros(3, 18))
    counts = torch.empty(current.shape, dtype=torch.uint8)
    assert scan(current, affine, Neuron(), (1, 1), counts).sum() == 0
    out = torch.empty_like(current)
    ones = torch.ones(3, 18)
    reverse = Reverse(current, affine, ones, Neuron(), (1, 1), SpikeGrad(torch.ones_like(current)))
    scan_backward(reverse, out, rows=2)
    assert out.isnan().all()


@pytest.mark.parametrize(("shape", "variant"), IN_TURN, ids=str, indirect=["variant"])
def test_bfloat16_in_memory_is_float_in_between(shape, variant, rng):
    """The same values in bfloat16 give the same moments, spikes and sums; what is written is rounded to the nearest."""
    current, gamma, beta = make(shape, rng)
    current, window = current.bfloat16(), shape[-1]
    affine, inverse = affine_of(current.float(), gamma, beta)
    gradient = torch.randn(pooled_shape(current, window), generator=rng).bfloat16()
    found = []
    for x, grad in ((current, gradient), (current.float(), gradient.float())):
        counts, out, copy = torch.empty(grad.shape, dtype=torch.uint8), torch.empty_like(x), torch.empty_like(x)
        fired = scan(x, affine, Neuron(), window, counts)
        reverse = Reverse(x, affine, inverse, Neuron(), window, SpikeGrad(grad))
        sums = scan_backward(reverse, out, rows=rows_of(x))
        mean, var = moments(x, copy)
        assert torch.equal(copy, x)
        found.append([counts, fired, mean, var, *sums, out.float()])
    (*low, out), (*wide, exact) = found
    for ours, twin in zip(low, wide, strict=True):  # spikes are equal; sums but for rounding
        assert (ours - twin).abs().max() <= (1e-5 * twin.abs().max() if twin.is_floating_point() else 0)
    assert ((out - exact).abs() <= 2**-8 * exact.abs() + 1e-6 * exact.abs().max()).all()
    nan = torch.full((2, 3, 1, 1, 21), float("nan")).bfloat16()
    rows = torch.ones(2, 21)
    scan_backward(Reverse(nan, Affine(rows, rows, rows), rows, Neuron(), (1, 1), SpikeGrad(nan)), nan, rows=3)
    assert nan.isnan().all()


@pytest.mark.parametrize("neuron", [Neuron(), None])
def test_an_infinite_current_has_a_gradient_where_statistics_are_given(neuron, variant):
    """The surrogate's, 0, and not 0 times infinity; without neurons the normalisation's."""
    current = torch.full((1, 1, 1, 1, 21), 0.5)
    current[..., 3], current[..., 20] = torch.inf, -torch.inf
    one, out = torch.ones(1, 21), torch.empty_like(current)
    affine = Affine(0 * one, 2 * one, 0 * one)
    reverse = Reverse(current, affine, one, neuron, (1, 1), SpikeGrad(torch.ones_like(current)))
    (drive_reverse if neuron is None else scan_reverse)(reverse, out, None, None)
    expected = torch.full((21,), 2.0 if neuron is None else 0.6)  # Eq. 8 at its highest, 0.3, times the scale of 2
    if neuron is not None:
        expected[[3, 20]] = 0.0
    assert torch.allclose(out.flatten(), expected)


@pytest.mark.parametrize(("shared", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_without_neurons_the_normalised_current_and_its_gradient(shared, dtype, rng):
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
    reverse = Reverse(current, Affine(mean, scale, shift), inverse, None, (1, 1), grad)
    sums = drive_sums(reverse)
    assert torch.allclose(sums[0], tables[2].grad[:, 0, 0, 0], rtol=1e-5)
    by_gamma = tables[1].grad[:, 0, 0, 0] * inverse
    assert torch.allclose(sums[1], by_gamma, rtol=1e-4, atol=1e-4)
    offset, slope = torch.randn(3, 7, generator=rng), torch.randn(3, 7, generator=rng)
    expected = x.grad - offset[:, None, None, None] - slope[:, None, None, None] * (x - tables[0])
    drive_reverse(reverse, current, offset, slope)
    assert torch.allclose(current.double(), expected, atol=1e-5 if dtype == torch.float32 else 0.05)

"""The fused scan against its twin in float64 and against a plain loop: every rule, reset, surrogate and shape."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bntt.engine.cpu.launch import moments, scan, scan_reference, scan_sums
from bntt.engine.layer_spec import Affine, Reverse, SpikeGrad, pooled_shape
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, lif_sequence, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle
from tests.grids import all_pairs
from tests.kernels import VARIANTS, needs_kernels, scan_backward, simulate, variant

pytestmark = needs_kernels
_ = variant

SHAPES = [  # T, B, H, W, C, window
    (5, 2, 4, 4, 16, (2, 2)),
    (2, 1, 1, 1, 3, (1, 1)),
    (25, 3, 5, 7, 33, (2, 2)),
    (3, 2, 6, 7, 7, (3, 3)),
    (2, 40, 1, 1, 150, (1, 1)),
    (784, 12, 1, 1, 21, (1, 1)),
    (4, 2, 3, 5, 64, (3, 5)),
    (14, 1, 8, 40, 16, (8, 8)),
]
OPTIONS = (fire_after, fire_before), (soft_reset, hard_reset), (Triangle(), FastSigmoid(), ArcTan())
GRID = [
    (shape, Neuron(0.95, 1.0, *options), variant) for shape, *options, variant in all_pairs(SHAPES, *OPTIONS, VARIANTS)
] + [
    (SHAPES[0], Neuron(0.5, 0.7, surrogate=Triangle(0.5)), VARIANTS[0]),
    (SHAPES[2], Neuron(0.9, 2.0, fire_before, hard_reset, FastSigmoid(5.0, 0.7)), VARIANTS[-1]),
    (SHAPES[3], Neuron(1.0), VARIANTS[-1]),
]
IN_TURN = list(zip(SHAPES, itertools.cycle(VARIANTS), strict=False))
RULES = [(Neuron(0.95, rule=rule, reset=reset), variant) for rule, reset, variant in all_pairs(*OPTIONS[:2], VARIANTS)]


def named(value: object) -> str:
    if not isinstance(value, Neuron):
        return str(value)
    rules = f"{value.rule.__name__}-{value.reset.__name__}"
    return f"{value.leak}-{value.threshold}-{rules}-{value.surrogate}"


def make(shape: tuple, rng: torch.Generator, mean: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    steps, batch, height, width, channels, _ = shape
    current = torch.randn(steps, batch, height, width, channels, generator=rng) * 2 + mean
    gamma = torch.rand(steps, channels, generator=rng) + 0.4
    return current, gamma, torch.randn(steps, channels, generator=rng) * 0.2


def rows_of(current: Tensor) -> int:
    """Of each step and channel."""
    return current[0].numel() // current.shape[-1]


def affine_of(current: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-4) -> tuple[Affine, Tensor]:
    mean, var = current.mean((1, 2, 3)), current.var((1, 2, 3), correction=0)
    inverse = (var + eps).rsqrt()
    return Affine(mean, gamma * inverse, beta), inverse


def untied(shape: tuple, neuron: Neuron, rng: torch.Generator) -> tuple[list[Tensor], Affine, Tensor, np.ndarray]:
    """Numbers of which none falls on the threshold, so that every spike and gradient is the reference's: current, γ and
    β in float64, the normalisation by them, 1 / σ, and the spikes of a plain loop."""
    for _ in range(50):
        wide = [t.double().requires_grad_() for t in make(shape, rng)]
        affine, inverse = affine_of(*wide)
        if rows_of(wide[0]) == 1:
            affine = Affine(torch.zeros(shape[0], shape[4]).double(), wide[1] * 1.3, wide[2])
            inverse = torch.full_like(inverse, 1.3)
        drive = (wide[0] - affine.mean[:, None, None, None]) * affine.scale[:, None, None, None]
        drive = (drive + affine.shift[:, None, None, None]).detach().numpy()
        rules = neuron.rule is fire_before, neuron.reset is hard_reset
        spikes, potentials = simulate(drive, neuron.leak, neuron.threshold, *rules)
        if (np.abs(potentials - neuron.threshold) > 1e-5).all():
            return wide, affine, inverse, spikes
    raise AssertionError("a tie in each of 50 draws")


@pytest.mark.parametrize(("shape", "neuron", "variant"), GRID, ids=named, indirect=["variant"])
def test_forward_and_every_gradient(shape, neuron, variant, rng):
    wide, affine, inverse, spikes = untied(shape, neuron, rng)
    current, window = wide[0].detach().float(), shape[-1]
    expected = scan_reference(wide[0], affine, neuron, window)
    gradient = torch.randn(expected.shape, generator=rng)
    (expected * gradient).sum().backward()

    narrow = Affine(*(t.detach().float().contiguous() for t in (affine.mean, affine.scale, affine.shift)))
    counts = torch.empty(pooled_shape(current, window), dtype=torch.uint8)
    fired = scan(current, narrow, neuron, window, counts)
    out = torch.empty_like(current)
    reverse = Reverse(current, narrow, inverse.detach().float().contiguous(), neuron, window, SpikeGrad(gradient))
    rows = rows_of(current)
    sums = scan_backward(reverse, out, rows=rows if rows > 1 else None)
    assert torch.equal(counts.double() / (window[0] * window[1]), expected.detach())
    assert (fired.numpy() == spikes.sum((1, 2, 3))).all()
    tolerance = (5e-6 if isinstance(neuron.surrogate, Triangle) else 3e-5) * (10 if shape[0] > 100 else 1)
    for ours, theirs in ((out, wide[0].grad), (sums[1], wide[1].grad), (sums[0], wide[2].grad)):
        assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize(
    ("shape", "neuron", "variant"), [row for row in GRID if row[0] in SHAPES[:5]], ids=named, indirect=["variant"]
)
def test_the_gradient_of_a_leak_in_every_channel(shape, neuron, variant, rng):
    """From a membrane on, and with what later steps want of it, against autograd in float64."""
    current, gamma, beta = make(shape, rng)
    leak = torch.rand(shape[4], generator=rng) * 0.6 + 0.3
    leak[0], leak[-1] = 0.0, 1e-30  # nobody may divide by them
    affine, inverse = affine_of(current, gamma, beta) if rows_of(current) > 1 else (Affine(beta, gamma, beta), gamma)
    start = torch.randn(shape[1:5], generator=rng) * 0.3
    carry, exact = torch.randn(shape[1:5], generator=rng), leak.double().requires_grad_()
    wide = Affine(*(rows.double() for rows in (affine.mean, affine.scale, affine.shift)))
    drive = (current.double() - wide.mean[:, None, None, None]) * wide.scale[:, None, None, None]
    drive = drive + wide.shift[:, None, None, None]
    spikes, end = lif_sequence(drive, start.double(), replace(neuron, leak=exact))
    gradient, window = torch.randn(pooled_shape(current, shape[-1]), generator=rng), shape[-1]
    images = spikes.flatten(0, 1).permute(0, 3, 1, 2)
    pooled = torch.nn.functional.avg_pool2d(images, window).permute(0, 2, 3, 1).reshape(gradient.shape)
    ((pooled * gradient).sum() + (end * carry).sum()).backward()

    found = replace(neuron, leak=leak)
    counts, membrane = torch.empty(gradient.shape, dtype=torch.uint8), start.clone()
    scan(current, affine, found, window, counts, membrane)
    differ = counts.double() / (window[0] * window[1]) != pooled.detach()
    assert differ.sum() <= 2 * shape[0], "of more than two windows: no tie"
    if differ.any():
        pytest.skip("a tie")
    reverse = Reverse(current, affine, inverse, found, window, SpikeGrad(gradient), start, carry)
    sums = scan_sums(reverse, leak=True)
    assert torch.allclose(sums[:2], scan_sums(reverse), rtol=1e-4, atol=1e-4)
    ours = sums[2].sum(0)
    assert (ours - exact.grad).abs().max() <= 3e-5 * (10 if shape[0] > 100 else 1) * exact.grad.abs().max()
    assert exact.grad[[0, -1]].abs().max() > 0


def test_a_gradient_shared_by_all_steps_is_not_copied(variant, rng):
    shape = (6, 2, 4, 4, 20, (2, 2))
    current, gamma, beta = make(shape, rng)
    affine, inverse = affine_of(current, gamma, beta)
    shared = torch.randn(1, 2, 2, 2, 20, generator=rng)
    results = []
    for gradient, scale in ((shared, 0.5), ((shared * 0.5).expand(6, -1, -1, -1, -1).contiguous(), 1.0)):
        out = torch.empty_like(current)
        reverse = Reverse(current, affine, inverse, Neuron(), (2, 2), SpikeGrad(gradient, scale))
        sums = scan_backward(reverse, out, rows=rows_of(current))
        results.append((out, *sums))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_gradient_may_overwrite_the_current(variant, rng):
    current, gamma, beta = make(SHAPES[2], rng)
    affine, inverse = affine_of(current, gamma, beta)
    gradient = torch.randn(pooled_shape(current, (2, 2)), generator=rng)
    apart, inplace = torch.empty_like(current), current.clone()
    for x, out in ((current, apart), (inplace, inplace)):
        reverse = Reverse(x, affine, inverse, Neuron(), (2, 2), SpikeGrad(gradient))
        scan_backward(reverse, out, rows=rows_of(x))
    assert torch.equal(apart, inplace)


@pytest.mark.parametrize(("neuron", "variant"), RULES, ids=named, indirect=["variant"])
def test_chunks_carry_the_membrane(neuron, variant, rng):
    current, gamma, beta = make(SHAPES[2], rng)
    affine, _ = affine_of(current, gamma, beta)
    whole, parts = (torch.empty(pooled_shape(current, (2, 2)), dtype=torch.uint8) for _ in range(2))
    fired = scan(current, affine, neuron, (2, 2), whole)
    membrane = torch.zeros(current.shape[1:])
    taken = [
        scan(current[a:b], affine.steps(a, b), neuron, (2, 2), parts[a:b], membrane)
        for a, b in ((0, 7), (7, 8), (8, 25))
    ]
    assert torch.equal(whole, parts)
    assert torch.equal(fired, torch.cat(taken))


@pytest.mark.parametrize(("neuron", "variant"), RULES, ids=named, indirect=["variant"])
def test_the_reverse_scan_goes_on_from_membrane_and_carry(neuron, variant, rng):
    """In parts it gives what the whole gives, and the last carry is the gradient of the membrane at the start."""
    shape, window = SHAPES[2], (2, 2)
    current, gamma, beta = make(shape, rng)
    affine, inverse = affine_of(current, gamma, beta)
    start = torch.randn(current.shape[1:], generator=rng)
    gradient = torch.randn(pooled_shape(current, window), generator=rng)
    wide = start.double().requires_grad_()
    exact = Affine(*(rows.double() for rows in (affine.mean, affine.scale, affine.shift)))
    expected = scan_reference(current.double(), exact, neuron, window, wide)
    (expected * gradient).sum().backward()

    outs, carries, sums = [], [], []
    for cuts in ((0, 25), (0, 7, 8, 25)):
        parts = list(itertools.pairwise(cuts))
        membranes = [start.clone()]
        for a, b in parts:
            membranes.append(membranes[-1].clone())
            counts = torch.empty(b - a, *gradient.shape[1:], dtype=torch.uint8)
            scan(current[a:b], affine.steps(a, b), neuron, window, counts, membranes[-1])
            assert torch.allclose(counts.double() / 4, expected[a:b].detach())
        out, carry, found = torch.empty_like(current), torch.zeros_like(start), []
        for (a, b), membrane in reversed(list(zip(parts, membranes[:-1], strict=True))):
            before = membrane.clone()
            part, grad = (current[a:b], affine.steps(a, b), inverse[a:b]), SpikeGrad(gradient[a:b])
            reverse = Reverse(*part, neuron, window, grad, membrane, carry)
            found.append(scan_backward(reverse, out[a:b], rows=rows_of(current)))
            assert torch.equal(membrane, before)
        outs.append(out), carries.append(carry)
        sums.append([torch.cat(rows) for rows in zip(*reversed(found), strict=True)])
    assert torch.allclose(*carries, rtol=1e-5, atol=1e-6)
    assert (carries[0] - wide.grad).abs().max() <= 1e-5 * wide.grad.abs().max()
    assert torch.allclose(*outs, rtol=1e-5, atol=1e-6)
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in zip(*sums, strict=True))


@pytest.mark.parametrize(("shape", "variant"), IN_TURN, ids=str, indirect=["variant"])
def test_the_same_bits_on_any_number_of_threads(shape, variant, rng):
    current, gamma, beta = make(shape, rng)
    affine, inverse = affine_of(current, gamma, beta)
    gradient = torch.randn(pooled_shape(current, shape[-1]), generator=rng)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        counts, out = torch.empty(gradient.shape, dtype=torch.uint8), torch.empty_like(current)
        fired = scan(current, affine, Neuron(), shape[-1], counts)
        reverse = Reverse(current, affine, inverse, Neuron(), shape[-1], SpikeGrad(gradient))
        sums = scan_backward(reverse, out, rows=rows_of(current))
        results.append((*moments(current), counts, fired, out, *sums))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))

"""The fused scan against its twin in float64: every rule, reset, surrogate and shape, whole and in parts."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from bntt.engine.compute import KernelName
from bntt.engine.cpu.launch import moments, scan, scan_reference, scan_reverse
from bntt.engine.graph.layer import drive, drive_reverse, drive_sums
from bntt.engine.kernels import device_of, open_kernels
from bntt.engine.layer_spec import Affine, Reverse, SpikeGrad, neuron_steps, pooled_shape
from bntt.ops.folded import AnyNeuron, FoldedNeuron
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Surrogate, Triangle
from tests.folding import RULES, bare, random_neuron
from tests.folding import SHAPES as TABLES
from tests.grids import all_pairs
from tests.kernels import VARIANTS, needs_kernels, scan_backward, using, variant

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


def named(value: object) -> str:
    """Without the places of functions, which differ from process to process."""
    if isinstance(value, Neuron):
        value = (value.leak, value.threshold, value.rule, value.reset, value.surrogate)
    names = [getattr(part, "__name__", str(part)) for part in value] if isinstance(value, tuple) else [str(value)]
    return "-".join(names)


def make(shape: tuple, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    steps, batch, height, width, channels, _ = shape
    current = torch.randn(steps, batch, height, width, channels, generator=rng) * 2 + 0.3
    gamma = torch.rand(steps, channels, generator=rng) + 0.4
    return current, gamma, torch.randn(steps, channels, generator=rng) * 0.2


def rows_of(current: Tensor) -> int:
    """Of each step and channel."""
    return current[0].numel() // current.shape[-1]


def affine_of(current: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Affine, Tensor]:
    mean, var = current.mean((1, 2, 3)), current.var((1, 2, 3), correction=0)
    inverse = (var + 1e-4).rsqrt()
    return Affine(mean, gamma * inverse, beta), inverse


class Probe:
    """A surrogate that keeps how close a potential has come to the threshold."""

    def __init__(self, real: Surrogate) -> None:
        self.real, self.closest = real, math.inf

    def __call__(self, v: Tensor) -> Tensor:
        self.closest = min(self.closest, float(v.abs().min()))
        return self.real(v)


class Errors(NamedTuple):
    """Of one case: spikes that differ, and errors relative to the largest value."""

    mismatches: int
    membrane: float
    current: float
    gamma: float
    beta: float
    carry: float


class Twin:
    """One case in float64, from a membrane on, with what later steps want of the last one, and where none is tied.

    The statistics are the batch's, but for folded neurons, and where a channel has one value.
    """

    def __init__(self, shape: tuple, neuron: AnyNeuron, rng: torch.Generator, *, leaks: bool = False) -> None:
        self.shape, self.window, self.surrogate = shape[:5], shape[5], neuron.surrogate
        for _ in range(50):
            probe = self._solve(shape, neuron, rng, leaks)
            if probe.closest > 1e-5:
                return
        raise AssertionError("a tie in each of 50 draws")

    def _solve(self, shape: tuple, neuron: AnyNeuron, rng: torch.Generator, leaks: bool) -> Probe:
        steps, *_, channels, window = shape
        self.current, gamma, beta = make(shape, rng)
        self.start, self.carry = (torch.randn(shape[1:5], generator=rng) * 0.3 for _ in range(2))
        self.rows: int | None = rows_of(self.current)
        if isinstance(neuron, FoldedNeuron):
            (neuron, gamma, beta), self.rows = bare(neuron, steps, channels), None
        elif leaks:
            leak = torch.rand(channels, generator=rng) * 0.6 + 0.3
            leak[0], leak[-1] = 0.0, 1e-30  # nobody may divide by them
            neuron = replace(neuron, leak=leak)
        self.rows = self.rows if self.rows != 1 else None
        self.neuron, probe = neuron, Probe(self.surrogate)
        x, gamma, beta, u = wide = [t.double().requires_grad_() for t in (self.current, gamma, beta, self.start)]
        if self.rows is None:
            mean, inverse = (torch.full_like(gamma, value).detach() for value in (0.1, 1.3))
            affine = Affine(mean, gamma * inverse, beta)
        else:
            affine, inverse = affine_of(x, gamma, beta)
        if isinstance(neuron, FoldedNeuron):
            twin: AnyNeuron = neuron.with_tables(surrogate=probe)
        else:
            wide.append(torch.as_tensor(neuron.leak, dtype=torch.float64).requires_grad_())
            twin = replace(neuron, leak=wide[-1], surrogate=probe)
        self.pooled, self.end = scan_reference(x, affine, twin, window, u)
        self.fired = scan_reference(x, affine, twin, (1, 1), u)[0].sum((1, 2, 3))
        self.gradient = torch.randn(self.pooled.shape, generator=rng)
        ((self.pooled * self.gradient).sum() + (self.end * self.carry).sum()).backward()
        self.grads = [one.grad for one in wide]
        tables = (affine.mean, affine.scale, affine.shift, inverse)
        *rows, self.inverse = (table.detach().float().contiguous() for table in tables)
        self.affine = Affine(*rows)
        return probe

    def errors(self, cuts: tuple[int, ...], kernels: KernelName = "cpu") -> Errors:
        """Of the kernels, in parts."""

        def there(tensor: Tensor) -> Tensor:
            return tensor.clone().to(device_of(kernels))

        x, out, u, carry, gradient, inverse = map(
            there, (self.current, self.current, self.start, self.carry, self.gradient, self.inverse)
        )
        affine = Affine(*map(there, (self.affine.mean, self.affine.scale, self.affine.shift)))
        counts = torch.full(pooled_shape(x, self.window), 255, dtype=torch.uint8, device=x.device)
        parts, membranes, fired, sums = list(itertools.pairwise(cuts)), [], [], []
        for a, b in parts:
            membranes.append(u.clone())
            neuron = neuron_steps(self.neuron, a, b)
            fired.append(open_kernels(kernels).scan(x[a:b], affine.steps(a, b), neuron, self.window, counts[a:b], u))
        for (a, b), before in reversed(list(zip(parts, membranes, strict=True))):
            kept, neuron = before.clone(), neuron_steps(self.neuron, a, b)
            tables, grad = (x[a:b], affine.steps(a, b), inverse[a:b]), SpikeGrad(gradient[a:b])
            reverse = Reverse(*tables, neuron, self.window, grad, before, carry)
            sums.append(scan_backward(reverse, out[a:b], rows=self.rows, kernels=kernels))
            assert torch.equal(before, kept)
        of_beta, of_gamma = (torch.cat(rows) for rows in zip(*reversed(sums), strict=True))
        assert torch.equal(torch.cat(fired).cpu().double(), self.fired.detach())
        found = (u, self.end.detach()), *zip((out, of_gamma, of_beta, carry), self.grads, strict=False)
        wrong = counts.cpu().double() / math.prod(self.window) != self.pooled.detach()
        return Errors(int(wrong.sum()), *(_off(ours.cpu(), theirs) for ours, theirs in found))

    def judge(self, *cuts: tuple[int, ...], kernels: KernelName = "cpu") -> None:
        """Whole, and in parts."""
        limit = (1e-5 if isinstance(self.surrogate, Triangle) else 3e-5) * (10 if self.shape[0] > 100 else 1)
        for some in ((0, self.shape[0]), *cuts):
            found = self.errors(some, kernels)
            assert found.mismatches == 0
            assert max(found[1:]) < limit, found


def _off(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs).abs().max() / theirs.abs().max().clamp(min=1e-9))


@pytest.mark.parametrize(("shape", "neuron", "variant"), GRID, ids=named, indirect=["variant"])
def test_forward_and_every_gradient(shape, neuron, variant, rng):
    steps = shape[0]
    Twin(shape, neuron, rng).judge(*([(0, 1, steps // 2 + 1, steps)] if steps > 2 else []))


@pytest.mark.parametrize(
    ("shape", "neuron", "variant"), [row for row in GRID if row[0] in SHAPES[:5]], ids=named, indirect=["variant"]
)
def test_the_gradient_of_a_leak_in_every_channel(shape, neuron, variant, rng):
    twin = Twin(shape, neuron, rng, leaks=True)
    reverse = Reverse(
        *(twin.current, twin.affine, twin.inverse, twin.neuron, twin.window),
        *(SpikeGrad(twin.gradient), twin.start, twin.carry),
    )
    sums = open_kernels("cpu").scan_sums(reverse, leak=True)
    assert torch.allclose(sums[:2], open_kernels("cpu").scan_sums(reverse), rtol=1e-4, atol=1e-4)
    assert _off(sums[2].sum(0), twin.grads[4]) < 3e-5
    assert twin.grads[4][[0, -1]].abs().max() > 0


@pytest.mark.parametrize(("shape", "variant"), IN_TURN, ids=str, indirect=["variant"])
def test_the_same_bits_on_any_number_of_threads_and_in_place(shape, variant, rng):
    current, gamma, beta = make(shape, rng)
    affine, inverse = affine_of(current, gamma, beta)
    gradient = torch.randn(pooled_shape(current, shape[-1]), generator=rng)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        counts = torch.empty(gradient.shape, dtype=torch.uint8)
        fired = scan(current, affine, Neuron(), shape[-1], counts)
        x = current.clone() if threads == 3 else current
        out = x if threads == 3 else torch.empty_like(current)
        reverse = Reverse(x, affine, inverse, Neuron(), shape[-1], SpikeGrad(gradient))
        sums = scan_backward(reverse, out, rows=rows_of(current))
        results.append((*moments(current), counts, fired, out, *sums))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_nan_current_never_fires_and_its_gradient_shows_it(dtype, variant):
    current, affine = torch.full((3, 2, 1, 1, 21), torch.nan, dtype=dtype), Affine.identity(3, 21, torch.device("cpu"))
    counts = torch.empty(current.shape, dtype=torch.uint8)
    assert scan(current, affine, Neuron(), (1, 1), counts).sum() == 0
    out = torch.empty_like(current)
    scan_backward(
        Reverse(current, affine, affine.scale, Neuron(), (1, 1), SpikeGrad(torch.ones_like(current))), out, rows=2
    )
    assert out.isnan().all()


@pytest.mark.parametrize(("shape", "variant"), IN_TURN, ids=str, indirect=["variant"])
def test_bfloat16_in_memory_is_float_in_between(shape, variant, rng):
    """The same values in bfloat16 give the same moments, spikes and sums; what is written is rounded to the nearest."""
    in_bfloat16(shape, "cpu", rng)


@pytest.mark.slow
def test_bfloat16_on_triton(rng):
    pytest.importorskip("triton")
    in_bfloat16((11, 2, 3, 5, 9, (2, 2)), "triton", rng)


def in_bfloat16(shape, name, rng):
    window, kernels, device = shape[-1], open_kernels(name), device_of(name)
    current, gamma, beta = (one.to(device) for one in make(shape, rng))
    current = current.bfloat16()
    affine, inverse = affine_of(current.float(), gamma, beta)
    gradient = torch.randn(pooled_shape(current, window), generator=rng).bfloat16().to(device)
    found = []
    for x, grad in ((current, gradient), (current.float(), gradient.float())):
        counts, out, copy = torch.empty_like(grad, dtype=torch.uint8), torch.empty_like(x), torch.empty_like(x)
        fired = kernels.scan(x, affine, Neuron(), window, counts)
        reverse = Reverse(x, affine, inverse, Neuron(), window, SpikeGrad(grad))
        sums = scan_backward(reverse, out, rows=rows_of(x), kernels=name)
        mean, var = kernels.moments(x, copy)
        assert torch.equal(copy, x)
        found.append([counts, fired, mean, var, *sums, out.float()])
    (*low, out), (*wide, exact) = found
    for ours, twin in zip(low, wide, strict=True):  # spikes are equal; sums but for rounding
        assert (ours - twin).abs().max() <= (1e-5 * twin.abs().max() if twin.is_floating_point() else 0)
    relative, absolute = (2**-8, 1e-6 * exact.abs().max()) if name == "cpu" else (1e-2, 1e-4)
    assert ((out - exact).abs() <= relative * exact.abs() + absolute).all()


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


SIZES = [*SHAPES[:4], (6, 40, 1, 1, 150, (1, 1)), (4, 1, 3, 5, 130, (3, 5)), (300, 2, 1, 1, 21, (1, 1))]
SURROGATES = (Triangle(0.7), FastSigmoid(2.0, 0.7), ArcTan())


def judge_tables(size: tuple, rules: tuple, shape: str, rng: torch.Generator, kernels: KernelName) -> None:
    """Whole on one thread, in parts on two."""
    options = {"rule": rules[0], "reset": rules[1], "surrogate": SURROGATES[len(shape) % 3]}
    twin = Twin(size, random_neuron(shape, size[0], size[4], rng, **options), rng)
    torch.set_num_threads(1)
    twin.judge(kernels=kernels)
    torch.set_num_threads(2)
    twin.judge((0, 1, size[0] // 2 + 1, size[0]) if size[0] > 2 else (0, 1, 2), kernels=kernels)
    if twin.pooled.numel() > 100:
        assert twin.grads[0].abs().max() > 0.1
        assert 0.02 < twin.pooled.mean() < 0.95


@pytest.mark.parametrize(
    ("size", "rules", "shape", "variant"), all_pairs(SIZES, RULES, TABLES, VARIANTS), ids=named, indirect=["variant"]
)
def test_tables_that_vary(size, rules, shape, variant, rng):
    judge_tables(size, rules, shape, rng, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "rules", "shape"),
    all_pairs([(5, 2, 4, 4, 16, (2, 2)), (3, 2, 3, 5, 7, (2, 2)), (20, 3, 1, 1, 5, (1, 1))], RULES, TABLES),
    ids=named,
)
def test_tables_on_triton(size, rules, shape, rng):
    pytest.importorskip("triton")
    judge_tables(size, rules, shape, rng, "triton")


def test_a_tie_does_not_fire_either_way_up(variant):
    """Half of a hundred channels are turned: at the threshold none fires, a last digit further all do."""
    turned = torch.arange(101)[None] % 2 == 1
    threshold = torch.where(turned, -0.3, 0.3)
    neuron, counts = FoldedNeuron(1.0, threshold, turned=turned), torch.empty(1, 1, 1, 1, 101, dtype=torch.uint8)
    current, affine = threshold[None, None, None], Affine.identity(1, 101, torch.device("cpu"))
    assert scan(current, affine, neuron, (1, 1), counts).sum() == 0
    assert scan(torch.nextafter(current, 2 * current), affine, neuron, (1, 1), counts).sum() == 101

"""The input gradient by Winograd: the matrices, the twin, the kernel, the gate, and layers that take it."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from bntt.engine import winograd
from bntt.engine.compute import Compute
from bntt.engine.graph import layer
from bntt.engine.synapse import Geometry, Synapse
from bntt.engine.winograd import PLACE, InputGrad, input_grad_reference, takes
from bntt.engine.workspace import WORKSPACE, KernelInputError
from bntt.models import vgg6
from bntt.nn import SpikingNetwork
from tests.kernels import VARIANTS, choose, needs_fused, needs_kernels, poisoned, using, variant
from tests.rows import each_row

_ = variant
POINTS = [Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)]
SHAPES = [  # N, H, W, Ci, Co; six tiles at a time leave each number from 0 to 5 in some strip
    (4, 8, 8, 64, 64),
    (9, 4, 4, 16, 48),
    (29, 3, 2, 32, 16),
    (2, 7, 9, 96, 32),
    (1, 1, 1, 16, 16),
    (2, 5, 6, 112, 128),
    (2, 33, 30, 16, 16),
    (1, 9, 101, 32, 32),
    (2, 64, 5, 48, 32),
]


def times(one: list[Fraction], other: list[Fraction]) -> list[Fraction]:
    """The product of two polynomials, lowest power first."""
    found = [Fraction(0)] * (len(one) + len(other) - 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            found[i + j] += a * b
    return found


def through(points: list[Fraction]) -> list[Fraction]:
    """The polynomial with these roots."""
    found = [Fraction(1)]
    for point in points:
        found = times(found, [-point, Fraction(1)])
    return found


def test_the_matrices_are_those_of_the_points():
    """Toom and Cook: evaluate at the points and infinity, multiply, interpolate; Lavin and Gray transpose it."""
    others = [[p for p in POINTS if p != point] for point in POINTS]
    into = [[*through(rest), Fraction(0)] for rest in others] + [through(POINTS)]
    scale = [prod((point - p for p in rest), start=Fraction(1)) for point, rest in zip(POINTS, others, strict=True)]
    turn = [[point**k / s for k in range(3)] for point, s in zip(POINTS, scale, strict=True)] + [[0, 0, 1]]
    out = [[point**k for point in POINTS] + [Fraction(k == 3)] for k in range(4)]
    for table, expected in ((winograd.IN, into), (winograd.WEIGHT, turn), (winograd.OUT, out)):
        assert [[float(x) for x in row] for row in expected] == [list(row) for row in table]


def expected(grad: Tensor, weight: Tensor) -> Tensor:
    """PyTorch's, float64."""
    images, kernels = grad.double().permute(0, 3, 1, 2), weight.double()
    shape = (len(images), weight.shape[1], *images.shape[2:])
    return torch.nn.grad.conv2d_input(shape, kernels, images, padding=1).permute(0, 2, 3, 1)


def drawn(shape: tuple[int, ...], rng: torch.Generator) -> tuple[Tensor, Tensor]:
    images, height, width, inputs, outputs = shape
    grad = torch.randn(images, height, width, outputs, generator=rng)
    return grad, torch.randn(outputs, inputs, 3, 3, generator=rng)


def off(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@each_row("shape", SHAPES)
def test_the_twin_is_the_gradient_of_a_convolution(shape, rng):
    grad, weight = drawn(shape, rng)
    assert off(input_grad_reference(grad, weight), expected(grad, weight)) < 1e-12


def by_kernel(grad: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """By the kernel, in memory that is NaN where nothing was written."""
    out = torch.full((*grad.shape[:3], weight.shape[1]), torch.nan) if out is None else out
    with poisoned(), WORKSPACE.lease() as lease:
        ready = InputGrad(Synapse(weight, None, PLACE), *grad.shape[1:3], lease)
        ready.into(grad[None], out[None])
    return out


@needs_kernels
@each_row("shape", SHAPES)
def test_the_kernel_is_its_twin(shape, variant, rng):
    grad, weight = drawn(shape, rng)
    wanted, found = input_grad_reference(grad, weight), by_kernel(grad, weight)
    assert off(found, wanted) < 2e-6
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 5e-6


@needs_kernels
@each_row("shape", SHAPES)
def test_the_same_bits_on_any_threads_in_any_batch_and_in_place(shape, variant, rng):
    grad, weight = drawn(shape, rng)
    torch.set_num_threads(1)
    found = by_kernel(grad, weight)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert torch.equal(by_kernel(grad, weight), found)
    for image in {0, len(grad) - 1}:
        assert torch.equal(by_kernel(grad[image : image + 1], weight)[0], found[image])
    if grad.shape == found.shape:
        over = grad.clone()
        assert torch.equal(by_kernel(over, weight, over), found)


@pytest.mark.skipif("avx512" not in VARIANTS, reason="needs two instruction sets with fused multiply-add")
@each_row("shape", SHAPES)
def test_the_same_bits_by_both_wide_instruction_sets(shape, rng):
    grad, weight = drawn(shape, rng)
    found = []
    for name in ("avx2", "avx512"):
        with using(name):
            found.append(by_kernel(grad, weight))
    assert torch.equal(*found)


@needs_kernels
def test_its_error_is_that_of_a_direct_sum_in_order(variant, rng):
    """In the norm, at the sizes of VGG9: n terms, added one after another, are off by about 2^-24 √n."""
    for size, inputs, outputs in ((32, 64, 64), (16, 64, 128), (16, 128, 128), (8, 128, 256), (8, 256, 256)):
        grad, weight = drawn((2, size, size, inputs, outputs), rng)
        wanted = expected(grad, weight)
        assert off(by_kernel(grad, weight), wanted) < 2**-24 * (9 * outputs) ** 0.5


@needs_kernels
def test_a_gradient_of_zeros_stays_one_and_others_leave_their_tile_alone(rng):
    grad, weight = drawn((1, 12, 12, 16, 16), rng)
    assert not by_kernel(torch.zeros_like(grad), weight).any()
    grad.zero_()[0, 1, 1] = 1.0
    found = by_kernel(grad, weight)
    assert not found[:, 4:].any()
    assert not found[:, :, 4:].any()
    grad[0, 1, 1, 3] = torch.inf
    assert by_kernel(grad, weight)[0, :3, :3].isnan().all()


WIDE = (4, 8, 8, 8, 32)
"""The shape of an input that the gate lets through."""
SHUT = {
    "one channel too many": ((4, 8, 8, 8, 33), (32, 33, 3, 3), PLACE),
    "too few channels": ((4, 8, 8, 8, 8), (32, 8, 3, 3), PLACE),
    "odd output": (WIDE, (33, 32, 3, 3), PLACE),
    "one tap": (WIDE, (32, 32, 1, 1), Geometry()),
    "no padding": (WIDE, (32, 32, 3, 3), Geometry()),
    "a stride": (WIDE, (32, 32, 3, 3), Geometry((2, 1), (1, 1))),
    "a dilation": (WIDE, (32, 32, 3, 3), Geometry((1, 1), (1, 1), (1, 2))),
    "groups": (WIDE, (32, 16, 3, 3), Geometry(padding=(1, 1), groups=2)),
    "a matrix": ((4, 8, 1, 1, 32), (32, 32), Geometry()),
    "few tiles": ((1, 8, 8, 8, 32), (32, 32, 3, 3), PLACE),
    "tiles that are mostly empty": ((9, 8, 5, 5, 32), (32, 32, 3, 3), PLACE),
}


def synapse(weight: tuple[int, ...] = (32, 32, 3, 3), geometry: Geometry = PLACE, **more: str) -> Synapse:
    return Synapse(torch.zeros(weight), None, geometry, **more)


@needs_fused
def test_the_gate_is_open_for_what_pays():
    assert takes(synapse(), WIDE, Compute())
    assert takes(synapse(), (16, 1, 6, 9, 32), Compute("cpu"))


@needs_fused
@each_row("shape, weight, geometry", SHUT.values())
def test_the_gate_is_shut_for_other_shapes(shape, weight, geometry):
    assert not takes(synapse(weight, geometry), shape, Compute())


@needs_fused
def test_the_gate_is_shut_where_it_was_not_asked_for():
    assert not takes(synapse(), WIDE, Compute(input_grad="direct"))
    assert not takes(synapse(), WIDE, Compute("triton"))
    assert not takes(synapse(precision="bf16-grad"), WIDE, Compute(precision="bf16-grad"))
    assert not takes(Synapse(torch.zeros(32, 32, 3, 3, dtype=torch.float64), None, PLACE), WIDE, Compute())


@needs_fused
def test_the_gate_is_shut_without_fused_multiply_add_and_without_kernels():
    with using("portable"):
        assert not takes(synapse(), WIDE, Compute())
    with patch.object(winograd, "LIBRARY", None):
        assert not takes(synapse(), WIDE, Compute())


@needs_kernels
def test_nothing_else_gets_into_the_kernel(rng):
    grad, weight = drawn((2, 8, 8, 16, 16), rng)
    out = torch.empty_like(grad)
    with WORKSPACE.lease() as lease:
        ready = InputGrad(Synapse(weight, None, PLACE), 8, 8, lease)
        for wrong in (grad[None].double(), grad[None, :1], grad[None].transpose(2, 3)):
            with pytest.raises(KernelInputError, match="a kernel takes grad for a contiguous float32 of 2048 elements"):
                ready.into(wrong, out[None])
        with pytest.raises(KernelInputError, match="a kernel takes out for"):
            ready.into(grad[None], out[None].double())


def gradients(net: SpikingNetwork, x: Tensor) -> dict[str, Tensor]:
    net.zero_grad()
    net(x).square().sum().backward()
    return {name: one.grad.clone() for name, one in net.named_parameters()}


@needs_fused
@pytest.mark.parametrize("chunk", [1, 16 << 20])
def test_layers_take_it_where_they_may_and_a_recomputed_pass_too(chunk, rng, monkeypatch):
    """Layers 2 to 4 of the small VGG: as many channels on both sides, in place, and twice as many."""
    monkeypatch.setattr(layer, "CHUNK_BYTES", chunk)
    net, x = vgg6(num_steps=4, image_size=16), torch.randn(4, 8, 1, 16, 16, generator=rng)
    choose(net, backend="cpu", events="fixed", input_grad="direct")
    direct, seen, into = gradients(net, x), [], InputGrad.into

    def watched(self: InputGrad, grad: Tensor, out: Tensor) -> None:
        """Threads read one another's images, so what is written lies image by image on what is read, or elsewhere."""
        ends = out.data_ptr() + out.nbytes, grad.data_ptr() + grad.nbytes
        same = out.data_ptr() == grad.data_ptr() and out.shape == grad.shape
        assert same or ends[0] <= grad.data_ptr() or ends[1] <= out.data_ptr()
        seen.append(self.job.in_channels)
        into(self, grad, out)

    monkeypatch.setattr(InputGrad, "into", watched)
    choose(net, input_grad="winograd")
    for recompute in ("never", 2):
        choose(net, recompute=recompute)
        with poisoned():
            found = gradients(net, x)
        assert set(seen) == {16, 32}
        assert len(seen) == (12 if chunk == 1 else 3 if recompute == "never" else 6)
        seen.clear()
        first = next(iter(found))
        for name, one in found.items():
            assert off(one, direct[name]) < 1e-4, name
        assert not torch.equal(found[first], direct[first])

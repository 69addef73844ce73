"""The input gradient by Winograd: the matrices, the twin, the kernel, the gate, and layers that take it."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from bntt.engine import winograd
from bntt.engine.compute import Compute
from bntt.engine.graph import layer
from bntt.engine.synapse import Geometry, Synapse
from bntt.engine.winograd import PLACE, InputGrad, input_grad_reference, takes
from bntt.engine.workspace import WORKSPACE
from bntt.models import vgg6
from bntt.nn import SpikingNetwork
from tests.kernels import VARIANTS, choose, needs_fused, needs_kernels, poisoned, using, variant
from tests.rows import each_row

_ = variant
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
def test_the_kernel_is_its_twin(shape, rng):
    """To the same bits by both wide instruction sets."""
    grad, weight = drawn(shape, rng)
    wanted, found = input_grad_reference(grad, weight), {}
    for name in VARIANTS:
        with using(name):
            found[name] = by_kernel(grad, weight)
        assert off(found[name], wanted) < 2e-6
        assert float((found[name] - wanted).abs().max() / wanted.abs().max()) < 5e-6
    assert "avx512" not in found or torch.equal(found["avx512"], found["avx2"])


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


WIDE, THREE = (4, 8, 8, 8, 32), (32, 32, 3, 3)
"""An input and weights that the gate lets through."""


def synapse(weight=THREE, geometry=PLACE, dtype=torch.float32, **more) -> Synapse:
    return Synapse(torch.zeros(weight, dtype=dtype), None, geometry, **more)


@needs_fused
@each_row(
    "what, shape, of, compute",
    [
        ("", WIDE, synapse(), Compute()),
        ("", (16, 1, 6, 9, 32), synapse(), Compute("cpu")),
        ("one channel too many", (4, 8, 8, 8, 33), synapse((32, 33, 3, 3)), Compute()),
        ("too few channels", (4, 8, 8, 8, 8), synapse((32, 8, 3, 3)), Compute()),
        ("odd output", WIDE, synapse((33, 32, 3, 3)), Compute()),
        ("one tap", WIDE, synapse((32, 32, 1, 1), Geometry()), Compute()),
        ("no padding", WIDE, synapse(THREE, Geometry()), Compute()),
        ("a stride", WIDE, synapse(THREE, Geometry((2, 1), (1, 1))), Compute()),
        ("a dilation", WIDE, synapse(THREE, Geometry((1, 1), (1, 1), (1, 2))), Compute()),
        ("groups", WIDE, synapse((32, 16, 3, 3), Geometry(padding=(1, 1), groups=2)), Compute()),
        ("a matrix", (4, 8, 1, 1, 32), synapse((32, 32), Geometry()), Compute()),
        ("few tiles", (1, 8, 8, 8, 32), synapse(), Compute()),
        ("tiles that are mostly empty", (9, 8, 5, 5, 32), synapse(), Compute()),
        ("not asked for", WIDE, synapse(), Compute(input_grad="direct")),
        ("elsewhere", WIDE, synapse(), Compute("triton")),
        ("bfloat16", WIDE, synapse(precision="bf16-grad"), Compute(precision="bf16-grad")),
        ("float64", WIDE, synapse(dtype=torch.float64), Compute()),
    ],
)
def test_the_gate_is_open_for_what_pays_and_shut_for_all_else(what, shape, of, compute):
    assert takes(of, shape, compute) == (not what)
    with using("portable"):
        assert not takes(of, shape, compute)
    with patch.object(winograd, "LIBRARY", None):
        assert not takes(of, shape, compute)


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

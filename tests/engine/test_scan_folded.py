"""The scans of neurons whose constants vary, against their twin in float64: every table shape, rule and reset."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from bntt.engine.compute import KernelName
from bntt.engine.cpu.launch import scan, scan_reference
from bntt.engine.kernels import open_kernels
from bntt.engine.layer_spec import Affine, Reverse, SpikeGrad, pooled_shape
from bntt.ops.folded import FoldedNeuron, folded_sequence
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle
from tests.engine.triton import DEVICE
from tests.folding import RULES, SHAPES, bare, random_neuron
from tests.grids import all_pairs
from tests.kernels import VARIANTS, needs_kernels, scan_backward, variant

pytestmark = needs_kernels
_ = variant

SIZES = [  # T, B, H, W, C, window
    (5, 2, 4, 4, 16, (2, 2)),
    (2, 1, 1, 1, 3, (1, 1)),
    (25, 3, 5, 7, 33, (2, 2)),
    (3, 2, 6, 7, 7, (3, 3)),
    (6, 40, 1, 1, 150, (1, 1)),
    (4, 1, 3, 5, 130, (3, 5)),
    (300, 2, 1, 1, 21, (1, 1)),
]


def named(value: object) -> str:
    """Without the places of functions, which differ from process to process."""
    names = [getattr(part, "__name__", str(part)) for part in value] if isinstance(value, tuple) else [str(value)]
    return "-".join(names)


SURROGATES = (Triangle(0.7), FastSigmoid(2.0, 0.7), ArcTan())


class Twin:
    """One case in float64: its pooled spikes, its last membrane, and gradients of the current and of the start."""

    def __init__(self, size: tuple, neuron: FoldedNeuron, rng: torch.Generator) -> None:
        steps, batch, height, width, channels, self.window = size
        self.neuron, gain, bias = bare(neuron, steps, channels)
        self.affine = Affine(torch.zeros_like(gain), gain, bias)
        self.current = torch.randn(steps, batch, height, width, channels, generator=rng)
        self.start, self.carry = (torch.randn(self.current.shape[1:], generator=rng) * 0.4 for _ in range(2))
        x, u = self.current.double().requires_grad_(), self.start.double().requires_grad_()
        wide = Affine(*(rows.double() for rows in (self.affine.mean, gain, bias)))
        self.pooled = scan_reference(x, wide, self.neuron, self.window, u)
        drive = x * wide.scale[:, None, None, None] + wide.shift[:, None, None, None]
        _, end = folded_sequence(drive.movedim(-1, 2), u.movedim(-1, 1), self.neuron)
        self.end = end.movedim(1, -1)
        self.gradient = torch.randn(self.pooled.shape, generator=rng)
        ((self.pooled * self.gradient).sum() + (self.end * self.carry).sum()).backward()
        self.grads = [x.grad, u.grad]

    def run(self, cuts: tuple[int, ...], kernels: KernelName = "cpu") -> list[Tensor]:
        """Counts, membrane and the two gradients by the kernels, in parts."""

        def there(tensor: Tensor) -> Tensor:
            return tensor.clone().to(DEVICE if kernels == "triton" else "cpu")

        x, out, u, carry = map(there, (self.current, self.current, self.start, self.carry))
        affine = Affine(*map(there, (self.affine.mean, self.affine.scale, self.affine.shift)))
        counts = torch.full(pooled_shape(x, self.window), 255, dtype=torch.uint8, device=x.device)
        parts, membranes = list(itertools.pairwise(cuts)), []
        for a, b in parts:
            membranes.append(u.clone())
            neuron = self.neuron.steps(a, b)
            open_kernels(kernels).scan(x[a:b], affine.steps(a, b), neuron, self.window, counts[a:b], u)
        gradient, ones = there(self.gradient), torch.ones_like(affine.scale)
        for (a, b), before in reversed(list(zip(parts, membranes, strict=True))):
            found, grad = (x[a:b], affine.steps(a, b), ones[a:b]), SpikeGrad(gradient[a:b])
            reverse = Reverse(*found, self.neuron.steps(a, b), self.window, grad, before, carry)
            scan_backward(reverse, out[a:b], rows=None, kernels=kernels)
        return [one.cpu() for one in (counts, u, out, carry)]

    def judge(self, cuts: tuple[int, ...], kernels: KernelName = "cpu") -> None:
        counts, u, *grads = self.run(cuts, kernels)
        area = self.window[0] * self.window[1]
        assert (counts.double() / area - self.pooled.detach()).abs().max() < 1e-6, "a tie, or wrong"
        assert (u - self.end.detach()).abs().max() <= 1e-4 * self.end.abs().max()
        for ours, theirs in zip(grads, self.grads, strict=True):
            assert (ours - theirs).abs().max() <= 5e-5 * theirs.abs().max()
        if counts.numel() > 100:
            assert self.grads[0].abs().max() > 0.1
            assert 0.02 < self.pooled.mean() < 0.95


@pytest.mark.parametrize(
    ("size", "rules", "shape", "variant"), all_pairs(SIZES, RULES, SHAPES, VARIANTS), ids=named, indirect=["variant"]
)
def test_spikes_membranes_and_gradients(size, rules, shape, variant, rng):
    """On one thread and on two, whole and in parts."""
    surrogate = SURROGATES[len(shape) % 3]
    twin = Twin(
        size, random_neuron(shape, size[0], size[4], rng, rule=rules[0], reset=rules[1], surrogate=surrogate), rng
    )
    torch.set_num_threads(1)
    twin.judge((0, size[0]))
    torch.set_num_threads(2)
    twin.judge((0, 1, size[0] // 2 + 1, size[0]) if size[0] > 2 else (0, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "rules", "shape"),
    all_pairs([(5, 2, 4, 4, 16, (2, 2)), (3, 2, 3, 5, 7, (2, 2)), (20, 3, 1, 1, 5, (1, 1))], RULES, SHAPES),
    ids=named,
)
def test_on_triton(size, rules, shape, rng):
    surrogate = SURROGATES[len(shape) % 3]
    twin = Twin(
        size, random_neuron(shape, size[0], size[4], rng, rule=rules[0], reset=rules[1], surrogate=surrogate), rng
    )
    twin.judge((0, size[0]), "triton")
    twin.judge((0, 1, size[0]), "triton")


def test_a_tie_does_not_fire_either_way_up(variant):
    """Half of a hundred channels are turned: at the threshold none fires, a last digit further all do."""
    turned = torch.arange(101)[None] % 2 == 1
    threshold = torch.where(turned, -0.3, 0.3)
    neuron, ones = FoldedNeuron(1.0, threshold, turned=turned), torch.ones(1, 101)
    current, counts = threshold[None, None, None], torch.empty(1, 1, 1, 1, 101, dtype=torch.uint8)
    assert scan(current, Affine(0 * ones, ones, 0 * ones), neuron, (1, 1), counts).sum() == 0
    further = torch.nextafter(current, 2 * current)
    assert scan(further, Affine(0 * ones, ones, 0 * ones), neuron, (1, 1), counts).sum() == 101


def test_gain_and_bias_are_not_the_kernels():
    ones, current = torch.ones(1, 2), torch.zeros(1, 1, 1, 1, 2)
    with pytest.raises(AssertionError):
        scan(current, Affine(ones, ones, ones), FoldedNeuron(1.0, 1.0, bias=ones), (1, 1), current.byte())

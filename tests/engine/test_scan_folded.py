"""The scans of neurons whose constants vary, against their twin in float64: every table shape, rule and reset."""

from __future__ import annotations

import pytest
import torch

from bntt.engine.compute import KernelName
from bntt.engine.cpu.launch import scan
from bntt.engine.layer_spec import Affine
from bntt.ops.folded import FoldedNeuron
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle
from tests.engine.test_scan import Twin, named
from tests.folding import RULES, SHAPES, random_neuron
from tests.grids import all_pairs
from tests.kernels import VARIANTS, needs_kernels, variant

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
SURROGATES = (Triangle(0.7), FastSigmoid(2.0, 0.7), ArcTan())


def judge(size: tuple, rules: tuple, shape: str, rng: torch.Generator, kernels: KernelName) -> None:
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
    ("size", "rules", "shape", "variant"), all_pairs(SIZES, RULES, SHAPES, VARIANTS), ids=named, indirect=["variant"]
)
def test_spikes_membranes_and_gradients(size, rules, shape, variant, rng):
    judge(size, rules, shape, rng, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "rules", "shape"),
    all_pairs([(5, 2, 4, 4, 16, (2, 2)), (3, 2, 3, 5, 7, (2, 2)), (20, 3, 1, 1, 5, (1, 1))], RULES, SHAPES),
    ids=named,
)
def test_on_triton(size, rules, shape, rng):
    pytest.importorskip("triton")
    judge(size, rules, shape, rng, "triton")


def test_a_tie_does_not_fire_either_way_up(variant):
    """Half of a hundred channels are turned: at the threshold none fires, a last digit further all do."""
    turned = torch.arange(101)[None] % 2 == 1
    threshold = torch.where(turned, -0.3, 0.3)
    neuron, counts = FoldedNeuron(1.0, threshold, turned=turned), torch.empty(1, 1, 1, 1, 101, dtype=torch.uint8)
    current, affine = threshold[None, None, None], Affine.identity(1, 101, torch.device("cpu"))
    assert scan(current, affine, neuron, (1, 1), counts).sum() == 0
    assert scan(torch.nextafter(current, 2 * current), affine, neuron, (1, 1), counts).sum() == 101

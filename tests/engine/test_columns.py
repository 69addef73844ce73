"""A convolution's weight gradient as one product, against PyTorch's in float64, and when it is taken."""

from __future__ import annotations

import math

import torch

from bntt.engine import synapse as columns
from bntt.engine.synapse import Geometry, Spikes, Synapse
from tests.kernels import needs_bf16
from tests.rows import each_row

PLACE = Geometry(padding=(1, 1))
SHAPES = [  # images, height, width, Ci, Co, kernel, padding
    (5, 4, 4, 16, 24, (3, 3), (1, 1)),
    (7, 8, 8, 33, 16, (3, 3), (1, 1)),
    (3, 6, 5, 7, 9, (3, 3), (0, 0)),
    (4, 5, 6, 8, 8, (5, 3), (2, 0)),
    (4, 7, 7, 8, 8, (1, 4), (0, 3)),
    (6, 1, 1, 12, 5, (3, 3), (1, 1)),
    (2, 3, 3, 4, 6, (1, 1), (0, 0)),
]


def oracle(x: torch.Tensor, grad: torch.Tensor, weight: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
    images, grad = (one.double().permute(0, 3, 1, 2) for one in (x, grad))
    mask = [False, True, False]
    found = torch.ops.aten.convolution_backward(
        grad, images, weight.double(), None, [1, 1], padding, [1, 1], False, [0, 0], 1, mask
    )
    return found[1]


def sample(case: tuple, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images, height, width, inputs, outputs, kernel, padding = case
    places = Geometry(padding=padding).out_size((height, width), kernel)
    x = torch.randn(images, height, width, inputs, generator=rng)
    return x, torch.randn(images, *places, outputs, generator=rng), torch.zeros(outputs, inputs, *kernel)


@each_row("case", SHAPES)
def test_it_is_the_gradient_whatever_the_blocks(case, rng, monkeypatch):
    x, grad, weight = sample(case, rng)
    expected = oracle(x, grad, weight, case[-1])
    for images in (1, 2, 100):
        rows = 4 * math.prod(grad.shape[1:3]) * math.prod(weight.shape[1:])
        monkeypatch.setattr(columns, "BLOCK_BYTES", images * rows)
        total = torch.ones_like(weight)
        columns.add_by_columns(total, x, grad, case[-1])
        torch.testing.assert_close(total.double(), 1 + expected, rtol=1e-4, atol=1e-4)


@needs_bf16
@each_row("precision", ["bf16", "fp32"])
def test_a_layer_in_bfloat16_takes_it_and_rounds_as_bfloat16(precision, rng, monkeypatch):
    taken, real = [], columns.add_by_columns
    monkeypatch.setattr(columns, "has_tiles", lambda: True)
    monkeypatch.setattr(columns, "add_by_columns", lambda *given: taken.append(real(*given)))
    x, grad, weight = sample((6, 8, 8, 32, 16, (3, 3), (1, 1)), rng)
    counts, synapse = Spikes((x > 1).to(torch.uint8)[None], scale=0.5), Synapse(weight, None, PLACE, precision)
    total, grad = torch.zeros_like(weight), grad.to(synapse.backward_dtype)
    synapse.add_weight_grad(total, counts, grad[None], events=False)
    expected = oracle(counts.floats()[0], grad, weight, (1, 1))
    assert len(taken) == (precision == "bf16")
    assert (total - expected).norm() / expected.norm() < 2**-8


@each_row(
    "pays, tiles, size, stride, dilation, groups",
    [
        (True, True, (8, 8), (1, 1), (1, 1), 1),
        (False, False, (8, 8), (1, 1), (1, 1), 1),
        (False, True, (9, 8), (1, 1), (1, 1), 1),
        (False, True, (8, 8), (2, 1), (1, 1), 1),
        (False, True, (8, 8), (1, 1), (1, 2), 1),
        (False, True, (8, 8), (1, 1), (1, 1), 2),
    ],
)
def test_it_is_taken_for_small_plain_maps_on_a_processor_with_tiles(
    pays, tiles, size, stride, dilation, groups, monkeypatch
):
    monkeypatch.setattr(columns, "has_tiles", lambda: tiles)
    assert columns.columns_pay(size, stride, dilation, groups) is pays

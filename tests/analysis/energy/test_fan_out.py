"""How many weights a value meets: against a loop over every output and every place of the kernel."""

import itertools

import pytest
import torch
from torch import nn

from bntt.analysis.energy.fan_out import fan_out, out_size


def looped(weights: nn.Conv2d, size: tuple[int, int], padding: tuple[int, int]) -> tuple[list[list[int]], tuple]:
    """One by one: every output channel, output place and kernel place, and the input's place that they read."""
    met = [[0] * size[1] for _ in range(size[0])]
    out = []
    for axis in (0, 1):
        span = weights.dilation[axis] * (weights.kernel_size[axis] - 1) + 1
        out.append((size[axis] + 2 * padding[axis] - span) // weights.stride[axis] + 1)
    places = itertools.product(range(out[0]), range(out[1]), *map(range, weights.kernel_size))
    for y, x, down, across in places:
        at = [
            o * weights.stride[axis] - padding[axis] + k * weights.dilation[axis]
            for axis, (o, k) in enumerate(((y, down), (x, across)))
        ]
        if all(0 <= a < n for a, n in zip(at, size, strict=True)):
            met[at[0]][at[1]] += weights.out_channels // weights.groups
    return met, tuple(out)


CONVOLUTIONS = [
    {},
    {"padding": 1},
    {"stride": 2},
    {"stride": 2, "padding": 1},
    {"stride": (3, 1), "padding": (2, 0)},
    {"stride": 4},  # some places are read by nothing
    {"dilation": 2, "padding": 2},
    {"dilation": (1, 3), "padding": (1, 0)},
    {"groups": 2, "padding": 1},
    {"groups": 4, "stride": 2, "dilation": 2, "padding": (3, 1)},
]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("size", [(7, 7), (9, 8)])
def test_every_weight_is_met_as_often_as_a_loop_finds(options, size):
    weights = nn.Conv2d(4, 8, (3, 2), device="meta", **options)
    met, out = looped(weights, size, weights.padding)
    assert fan_out(weights, size).tolist() == met
    assert out_size(weights, size) == out
    assert tuple(weights(torch.empty(1, 4, *size, device="meta")).shape[2:]) == out


@pytest.mark.parametrize(("padding", "dilation", "width"), [("same", 1, 1), ("same", 3, 3), ("valid", 2, 0)])
def test_padding_by_name(padding, dilation, width):
    weights = nn.Conv2d(1, 3, 3, padding=padding, dilation=dilation, device="meta")
    assert fan_out(weights, (8, 7)).tolist() == looped(weights, (8, 7), (width, width))[0]
    assert out_size(weights, (8, 7)) == tuple(weights(torch.empty(1, 1, 8, 7, device="meta")).shape[2:])


def test_the_sum_over_an_image_is_what_a_dense_layer_multiplies():
    inside = nn.Conv2d(3, 5, 3, device="meta")
    assert int(fan_out(inside, (6, 7)).sum()) * 3 == 4 * 5 * 5 * 9 * 3
    assert fan_out(nn.Linear(9, 5, device="meta"), (1, 1)).tolist() == [[5]]


def test_padding_that_repeats_the_image_is_refused():
    with pytest.raises(TypeError, match="pad with zeros, this one has circular"):
        fan_out(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", device="meta"), (5, 5))

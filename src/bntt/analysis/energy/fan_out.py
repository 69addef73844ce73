"""How many weights a value reaches: fewer at an image's border than inside it."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor, nn


def fan_out(weights: nn.Conv2d | nn.Linear, size: tuple[int, int]) -> Int64[Tensor, "H W"]:
    """How many weights a value at each place of an input of this height and width meets.

    It is the same for every channel: ``C_out / groups`` times the pairs of an output place and a place of the kernel
    that lie over it, ``y = stride · y_out - padding + dilation · y_kernel``, likewise x. The padding is no input. A
    fully connected layer has one place, ``size`` (1, 1).

    Raises:
        TypeError: if the convolution pads with other than zeros.

    >>> fan_out(nn.Conv2d(2, 5, 3, padding=1, device="meta"), (3, 4))
    tensor([[20, 30, 30, 20],
            [30, 45, 45, 30],
            [20, 30, 30, 20]])
    """
    if isinstance(weights, nn.Linear):
        return torch.full(size, weights.out_features)
    down, across = (_meetings(weights, axis, n) for axis, n in enumerate(size))
    return weights.out_channels // weights.groups * down[:, None] * across[None, :]


def out_size(weights: nn.Conv2d, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a convolution's output.

    >>> out_size(nn.Conv2d(2, 5, 3, stride=2, device="meta"), (7, 9))
    (3, 4)
    """
    return len(_places(weights, 0, size[0])), len(_places(weights, 1, size[1]))


def _meetings(weights: nn.Conv2d, axis: int, size: int) -> Tensor:
    """Of every place along an axis: how many pairs of output and kernel lie over it."""
    places = _places(weights, axis, size)
    return torch.bincount(places[(places >= 0) & (places < size)], minlength=size)


def _places(weights: nn.Conv2d, axis: int, size: int) -> Int64[Tensor, "out kernel"]:
    """The place along an axis that every output reads through every place of the kernel; some lie in the padding."""
    kernel, stride, dilation = weights.kernel_size[axis], weights.stride[axis], weights.dilation[axis]
    span = dilation * (kernel - 1)
    if weights.padding_mode != "zeros":
        raise TypeError(
            f"operations are counted of convolutions that pad with zeros, this one has {weights.padding_mode}"
        )
    if isinstance(weights.padding, str):
        before, both = (span // 2, span) if weights.padding == "same" else (0, 0)
    else:
        before, both = weights.padding[axis], 2 * weights.padding[axis]
    out = (size + both - span - 1) // stride + 1
    return (torch.arange(out) * stride - before)[:, None] + (torch.arange(kernel) * dilation)[None, :]

"""The weight gradient of a convolution as a product of matrices, for processors with tiles of bfloat16 (AMX).

dL/dW[o, i, k, l] sums dL/dy[s, h, w, o] · x[s, h + k, w + l, i] over images and places: with every window of the
padded input as a row, it is one product, whose sums have thousands of terms. For a map of 4x4 oneDNN reaches a tenth
of the rate of its forward convolutions, and this way a third: 0.3 of the time, and 0.7 for 8x8. For larger maps the
rows cost more than they save, and without tiles they cost more for every map.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bntt.engine.private import has_tiles
from bntt.engine.workspace import WORKSPACE

LARGEST_MAP = 64
"""Places of the output up to which this way is the faster one."""
BLOCK_BYTES = 1 << 25
"""The most memory that the rows of a block of images take, unless one image alone takes more."""


def pays(map_size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], groups: int) -> bool:
    """Return True if a convolution's weight gradient in bfloat16 is computed here: by its shape, never measured."""
    plain = stride == (1, 1) and dilation == (1, 1) and groups == 1
    return plain and math.prod(map_size) <= LARGEST_MAP and has_tiles()


def add_weight_grad(total: Tensor, x: Tensor, grad_out: Tensor, padding: tuple[int, int]) -> None:
    """Add dL/dW of a convolution with stride and dilation 1 and one group to ``total``.

    Args:
        total: ``[Co, Ci, Kh, Kw]``, float32.
        x: ``[S, H, W, Ci]``.
        grad_out: ``[S, H', W', Co]``, contiguous, of the type of ``x``, to which each block's sum is rounded.
    """
    outputs, inputs, *kernel = total.shape
    images, height, width, _ = x.shape
    window, (down, across) = (*kernel, inputs), padding
    places = grad_out.shape[1:3]
    block = min(images, max(1, BLOCK_BYTES // (x.element_size() * math.prod(places) * math.prod(window))))
    with WORKSPACE.lease() as lease:
        padded = lease.take(block, height + 2 * down, width + 2 * across, inputs, dtype=x.dtype).zero_()
        rows = lease.take(block, *places, *window, dtype=x.dtype)
        for part, grad in zip(torch.split(x, block), torch.split(grad_out, block), strict=True):
            padded[: len(part), down : down + height, across : across + width] = part
            windows = padded[: len(part)].unfold(1, kernel[0], 1).unfold(2, kernel[1], 1).permute(0, 1, 2, 4, 5, 3)
            found = grad.flatten(0, 2).t() @ rows[: len(part)].copy_(windows).view(-1, math.prod(window))
            total.add_(found.view(outputs, *window).permute(0, 3, 1, 2))

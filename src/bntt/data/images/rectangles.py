"""Rectangles in images, one for each."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def inside(
    first: Int[Tensor, "B 2"], past: Int[Tensor, "B 2"], size: tuple[int, int]
) -> Bool[Tensor, "B 1 {size[0]} {size[1]}"]:
    """Which pixels of an image lie in its rectangle; what lies outside the image is cut off.

    Args:
        first: the first row and column that belong to it.
        past: the row and column after its last.
        size: height and width of the images.

    >>> inside(torch.tensor([[-1, 1]]), torch.tensor([[1, 9]]), (2, 3)).int()
    tensor([[[[0, 1, 1],
              [0, 0, 0]]]], dtype=torch.int32)
    """
    rows, columns = (
        (place >= first[:, axis : axis + 1]) & (place < past[:, axis : axis + 1])
        for axis, place in enumerate(torch.arange(length, device=first.device) for length in size)
    )
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)

"""Random crop and flip of a whole batch, a different one for each image, by counter-based randomness."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Int, Shaped
from torch import Tensor

from bntt.ops.random import Purpose, sample_keys, uniform


def random_crop(
    images: Shaped[Tensor, "B C H W"], *, seed: int, draw: int, index: Int[Tensor, " B"], padding: int = 4
) -> Shaped[Tensor, "B C H W"]:
    """Pad with black on every side and cut the size back out, at an offset of each image's own (0..2·padding).

    >>> random_crop(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), seed=0, draw=0, index=torch.arange(2)).shape
    torch.Size([2, 1, 8, 8])
    """
    batch, _, height, width = images.shape
    offsets = uniform(sample_keys(seed, Purpose.CROP, draw, index.to(images.device)), 2)
    offsets = (offsets * (2 * padding + 1)).long()
    rows = offsets[:, :1] + torch.arange(height, device=images.device)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)
    padded = F.pad(images, [padding] * 4).permute(0, 2, 3, 1)
    sample = torch.arange(batch, device=images.device).view(-1, 1, 1)
    return padded[sample, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def random_flip(
    images: Shaped[Tensor, "B C H W"], *, seed: int, draw: int, index: Int[Tensor, " B"]
) -> Shaped[Tensor, "B C H W"]:
    """Mirror left and right, each image with probability one half.

    >>> random_flip(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), seed=0, draw=0, index=torch.arange(2)).shape
    torch.Size([2, 1, 8, 8])
    """
    heads = uniform(sample_keys(seed, Purpose.FLIP, draw, index.to(images.device))) < 0.5
    return torch.where(heads.view(-1, 1, 1, 1), images.flip(3), images)


AUGMENTATIONS = {"crop": random_crop, "flip": random_flip}
"""The names that recipes know."""

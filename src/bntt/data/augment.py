"""Random changes and mixtures of a batch, independent for each image or recording, by counter-based randomness.

All frames of a recording change alike. An image is mixed with one of the whole set, by a share of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer, Shaped
from torch import Tensor

from bntt.ops.random import Purpose, child_keys, sample_keys, uniform
from bntt.registry import Registry

ERASED = 0.5
"""Probability that an image is erased in part (Zhong et al. 2020)."""
AREA = (0.02, 0.33)
"""Smallest and largest share of the image in an erased rectangle; Zhong et al. erase up to 0.4."""
ASPECT = (0.3, 3.3)
"""Smallest and largest ratio of an erased rectangle's height to its width."""


def random_crop(
    images: Shaped[Tensor, "B *T C H W"], *, seed: int, draw: int, index: Integer[Tensor, " B"], padding: int = 4
) -> Shaped[Tensor, "B *T C H W"]:
    """Pad with black on every side and crop to the original size, at a random offset for each image (0..2·padding)."""
    height, width = images.shape[-2:]
    offsets = uniform(sample_keys(seed, Purpose.CROP, draw, index.to(images.device)), 2)
    offsets = (offsets * (2 * padding + 1)).long()
    rows = offsets[:, :1] + torch.arange(height, device=images.device)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)
    sample = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    cropped = F.pad(images, [padding] * 4)[sample, ..., rows.unsqueeze(2), columns.unsqueeze(1)]
    return cropped.movedim((1, 2), (-2, -1))


def random_flip(
    images: Shaped[Tensor, "B *T C H W"], *, seed: int, draw: int, index: Integer[Tensor, " B"]
) -> Shaped[Tensor, "B *T C H W"]:
    """Flip horizontally, each image with probability one half."""
    heads = uniform(sample_keys(seed, Purpose.FLIP, draw, index.to(images.device))) < 0.5
    return torch.where(heads.view(-1, *[1] * (images.ndim - 1)), images.flip(-1), images)


def cutout(
    images: Float[Tensor, "B C H W"], *, seed: int, draw: int, index: Integer[Tensor, " B"]
) -> Float[Tensor, "B C H W"]:
    """Fill a square, half as long as the shorter side, with the image's mean colour (DeVries & Taylor 2017).

    Its centre can be any pixel, so a part of it may lie outside. The paper fills with 0 after normalisation.
    """
    height, width = images.shape[2:]
    side = min(height, width) // 2
    keys = sample_keys(seed, Purpose.CUTOUT, draw, index.to(images.device))
    centre = (uniform(keys, 2) * torch.tensor([height, width], device=images.device)).long()
    hole = inside(centre - side // 2, centre - side // 2 + side, (height, width))
    # in double, sums of pixels n/255 are exact: the same colour however they are ordered or split over threads
    colour = images.double().mean((2, 3), keepdim=True).to(images.dtype)
    return torch.where(hole, colour, images)


def random_erasing(
    images: Float[Tensor, "B C H W"], *, seed: int, draw: int, index: Integer[Tensor, " B"]
) -> Float[Tensor, "B C H W"]:
    """Fill a rectangle of about half of the images with random pixels (Zhong et al. 2020, "RE-R").

    Its share of the image is uniform in 0.02..0.33, its height over its width log-uniform in 0.3..3.3 (both as in
    torchvision; the paper: 0.02..0.4 and uniform in 0.3..1/0.3), its place uniform among all that fit. A side longer
    than the image's is cut to it, where the paper and torchvision draw again.
    """
    size = (images.shape[2], images.shape[3])
    keys = sample_keys(seed, Purpose.ERASE, draw, index.to(images.device))
    rectangles = [_rectangle(numbers, *size) for numbers in uniform(child_keys(keys, 0), 5).tolist()]
    first, past = torch.tensor(rectangles, device=images.device).unbind(1)
    values = uniform(child_keys(keys, 1), *images.shape[1:]).to(images.dtype)
    return torch.where(inside(first, past, size), values, images)


def _rectangle(numbers: list[float], height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first row and column, and those past the last; both are equal for unchanged images."""
    chance, share, shape, down, right = numbers
    if chance >= ERASED:
        return (0, 0), (0, 0)
    area = (AREA[0] + share * (AREA[1] - AREA[0])) * height * width
    aspect = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** shape
    tall = min(round(math.sqrt(area * aspect)), height)
    wide = min(round(math.sqrt(area / aspect)), width)
    top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
    return (top, left), (top + tall, left + wide)


def inside(
    first: Int[Tensor, "B 2"], past: Int[Tensor, "B 2"], size: tuple[int, int]
) -> Bool[Tensor, "B 1 {size[0]} {size[1]}"]:
    """Mark the pixels of an image that lie in its rectangle; parts outside the image are cut off."""
    rows, columns = (
        (place >= first[:, axis : axis + 1]) & (place < past[:, axis : axis + 1])
        for axis, place in enumerate(torch.arange(length, device=first.device) for length in size)
    )
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)


AUGMENTATIONS: Registry[Callable[..., Tensor]] = Registry(
    "augmentation", {"crop": random_crop, "flip": random_flip, "cutout": cutout, "erase": random_erasing}
)
EVENT_AUGMENTATIONS: Registry[Callable[..., Tensor]] = Registry(
    "augmentation of events", {"flip": random_flip, "shift": random_crop}
)
GRID = 1 << 24
"""Resolution of shares: with multiples of 2⁻²⁴, 1 - share is exact in float32, and no mixed pixel exceeds 1."""


@dataclass(frozen=True)
class Pairs:
    """Partners and shares for mixing a batch of images."""

    partner: Int[Tensor, " B"]
    """Place of the second image in the set."""
    share: Float[Tensor, " B"]
    """λ, float32 in [0, 1]: the share of the first image."""
    place: Float[Tensor, "B 2"]
    """Centre of a box, down and to the right, in [0, 1)."""


def pair(*, seed: int, draw: int, index: Integer[Tensor, " B"], count: int, alpha: float) -> Pairs:
    """Draw a partner for each sample, from the whole set (itself included), and a share λ from Beta(α, α)."""
    keys = sample_keys(seed, Purpose.MIX, draw, index.cpu())
    partner = child_keys(keys, 0).bitwise_and(torch.iinfo(torch.int64).max) % count
    numbers = uniform(child_keys(keys, 1), 4)
    shares = [_beta(alpha, first, second) for first, second in numbers[:, :2].tolist()]
    return Pairs(partner, torch.tensor(shares, dtype=torch.float32), numbers[:, 2:])


def _beta(alpha: float, first: float, second: float) -> float:
    """Make a Beta(α, α) number from two uniform ones: ``(1 + c / √(c² + W / (1 - W))) / 2``, W = U^(1/α), c = cos 2πV.

    The polar method, which is exact (Bailey 1994), one number at a time: vectorised code may round differently.
    """
    half = 0.5 / GRID  # from [0, 1) to (0, 1)
    log_w = math.log(first + half) / alpha
    c = math.cos(2 * math.pi * (second + half))
    odds = math.exp(log_w) / -math.expm1(log_w)
    return round((1 + c / math.sqrt(c * c + odds)) / 2 * GRID) / GRID


def mixup(
    first: Float[Tensor, "B C H W"], second: Float[Tensor, "B C H W"], pairs: Pairs
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, " B"]]:
    """Compute ``λ x_i + (1 - λ) x_j`` (Zhang et al. 2018), and return the share of the first, λ, as well."""
    share = pairs.share.to(first).view(-1, 1, 1, 1)
    return share * first + (1 - share) * second, pairs.share


def cutmix(
    first: Float[Tensor, "B C H W"], second: Float[Tensor, "B C H W"], pairs: Pairs
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, " B"]]:
    """Paste a box of the second image into the first (Yun et al. 2019); also return the share of pixels that stayed."""
    height, width = first.shape[2:]
    size = torch.tensor([height, width])
    half = ((1 - pairs.share.double()).sqrt().unsqueeze(1) * size / 2).long()
    centre = (pairs.place * size).long()
    begin, past = (centre - half).clamp(min=0), torch.minimum(centre + half, size)
    box = inside(begin.to(first.device), past.to(first.device), (height, width))
    stayed = height * width - (past - begin).prod(1)
    return torch.where(box, second, first), (stayed.double() / (height * width)).float()


def soft_labels(
    first: Int[Tensor, " B"], second: Int[Tensor, " B"], kept: Float[Tensor, " B"], num_classes: int
) -> Float[Tensor, "B {num_classes}"]:
    """Compute each class's share: ``kept`` for the first image's class, the rest for the second's; rows sum to 1."""
    share = kept.to(first.device).unsqueeze(1)
    return share * F.one_hot(first, num_classes) + (1 - share) * F.one_hot(second, num_classes)


MIXES = {"mixup": mixup, "cutmix": cutmix}

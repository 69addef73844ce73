"""A set of labelled images, held whole as uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bntt.ops.random import Purpose, permutation


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one size.

    >>> ImageSet(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("cat", "dog")).counts()
    [1, 2]
    """

    images: Tensor
    """uint8, ``[N, C, H, W]``."""
    labels: Tensor
    """int64, ``[N]``, from 0 to len(classes) - 1."""
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, C, H, W], got {images.dtype} {list(images.shape)}")
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels must be int64, one for each of {len(images)} images, got {labels.dtype} {list(labels.shape)}"
            )
        wrong = ((labels < 0) | (labels >= len(self.classes))).nonzero()
        if len(wrong):
            first = int(wrong[0])
            raise ValueError(
                f"label {int(labels[first])} of image {first} is outside 0-{len(self.classes) - 1} "
                f"({len(self.classes)} classes, {len(wrong)} such labels)"
            )

    def __len__(self) -> int:
        return len(self.images)

    def counts(self) -> list[int]:
        """Images of each class."""
        return self.labels.bincount(minlength=len(self.classes)).tolist()

    def select(self, index: Tensor) -> ImageSet:
        """The images at these places, in this order."""
        return ImageSet(self.images[index], self.labels[index], self.classes)

    def pixel_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of every channel, of pixels scaled to [0, 1]."""
        levels = torch.arange(256, dtype=torch.float64) / 255
        means, stds = [], []
        for channel in self.images.unbind(1):
            share = channel.flatten().bincount(minlength=256).double() / channel.numel()
            mean = float(share @ levels)
            means.append(mean)
            stds.append(float((share @ (levels - mean).square()).sqrt()))
        return means, stds


class Splits(NamedTuple):
    """The two published parts of a dataset."""

    train: ImageSet
    test: ImageSet


def split_validation(images: ImageSet, count: int, seed: int) -> tuple[ImageSet, ImageSet, Tensor]:
    """Take ``count`` images for validation, as many of each class as the set's shares allow.

    Returns:
        ``(training, validation, index)``: ``index`` holds the places that the validation images had.

    Raises:
        ValueError: unless both parts get at least one image.

    >>> data = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1] * 4), ("cat", "dog"))
    >>> training, validation, _ = split_validation(data, 2, seed=0)
    >>> training.counts(), validation.counts()
    ([3, 3], [1, 1])
    """
    if not 0 < count < len(images):
        raise ValueError(f"validation needs 1 to {len(images) - 1} of {len(images)} images, got {count}")
    order = permutation(seed, Purpose.SPLIT, 0, len(images))
    # every image gets its rank within its class, as a share of the class; the lowest shares are the validation part
    share = torch.empty(len(images), dtype=torch.float64)
    for label in range(len(images.classes)):
        members = order[images.labels[order] == label]
        share[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / max(1, len(members))
    chosen = order[torch.argsort(share[order], stable=True)][:count].sort().values
    rest = torch.ones(len(images), dtype=torch.bool)
    rest[chosen] = False
    return images.select(rest.nonzero().squeeze(1)), images.select(chosen), chosen

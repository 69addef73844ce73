"""A set of labelled images, held whole as uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.data.augment import AUGMENTATIONS
from bntt.data.samples import check_labels


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one size.

    Raises:
        ValueError: on images that are not uint8 ``[N, C, H, W]``, or labels that are not int64 ``[N]`` from 0 to K - 1.

    >>> ImageSet(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("cat", "dog")).counts()
    [1, 2]
    """

    images: Tensor
    """uint8, ``[N, C, H, W]``."""
    labels: Tensor
    """int64, ``[N]``, from 0 to len(classes) - 1."""
    classes: tuple[str, ...]
    """Names of the classes."""
    augmentations: ClassVar = AUGMENTATIONS
    """Augmentations that a :class:`~bntt.data.SampleLoader` can apply to them."""
    mixes: ClassVar = True

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, C, H, W], got {images.dtype} {list(images.shape)}")
        check_labels(labels, len(images), self.classes, "image")

    def __len__(self) -> int:
        return len(self.images)

    def counts(self) -> list[int]:
        """Count the images of each class."""
        return self.labels.bincount(minlength=len(self.classes)).tolist()

    def select(self, index: Int[Tensor, " M"]) -> ImageSet:
        """Return the images at these places, in this order."""
        return ImageSet(self.images[index], self.labels[index], self.classes)

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B C H W"]:
        """Return the images at these places, float32, pixels in [0, 1]."""
        return self.images[index].float() / 255

    def pixel_statistics(self) -> tuple[list[float], list[float]]:
        """Compute mean and standard deviation of every channel, of pixels scaled to [0, 1]."""
        levels = torch.arange(256, dtype=torch.float64) / 255
        means, stds = [], []
        for channel in self.images.unbind(1):
            share = channel.flatten().bincount(minlength=256).double() / channel.numel()
            mean = float(share @ levels)
            means.append(mean)
            stds.append(float((share @ (levels - mean).square()).sqrt()))
        return means, stds


def same_images(one: ImageSet, other: ImageSet, places: Int[Tensor, " M"]) -> bool:
    """Return True if two sets are equal in size, and have the same images and labels at these places."""
    if len(one) != len(other):
        return False
    ours, theirs = one.select(places), other.select(places)
    return torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)


class Splits(NamedTuple):
    """Training and test part of a dataset, as published.

    >>> from bntt.data import fashion_mnist_bundled
    >>> len(fashion_mnist_bundled().train)
    5000
    """

    train: ImageSet
    """Training images."""
    test: ImageSet
    """Test images."""

"""Batches of an image set, in an order and with an augmentation that depend only on (seed, draw, index)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bntt.data.augment import AUGMENTATIONS
from bntt.data.images import ImageSet
from bntt.ops.random import Purpose, permutation


class Batch(NamedTuple):
    """What one step of training or evaluation takes."""

    images: Tensor
    """float32, ``[B, C, H, W]``, in [0, 1]."""
    labels: Tensor
    """int64, ``[B]``."""
    indices: Tensor
    """int64, ``[B]``: each image's place in its set."""


@dataclass(frozen=True)
class ImageLoader:
    """All images of a set in batches of nearly equal size, none left out.

    An epoch of N images makes ceil(N / batch_size) batches whose sizes differ by one at most, so that no last batch is
    too small to be normalised.

    Args:
        data: the images.
        batch_size: the largest batch.
        shuffle: a new order every draw; otherwise the set's own.
        augment: names out of "crop", "flip", applied in this order.
        seed: of order and augmentation.
        device: where batches are made; the set itself stays where it is.

    >>> from bntt.data import fashion_mnist_bundled
    >>> loader = ImageLoader(fashion_mnist_bundled().test, batch_size=300)
    >>> [len(batch.labels) for batch in loader.epoch(0)]
    [250, 250, 250, 250]
    """

    data: ImageSet
    batch_size: int
    shuffle: bool = False
    augment: Sequence[str] = ()
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")
        if len(self.data) == 0:
            raise ValueError("there are no images: 0 batches")
        for name in self.augment:
            if name not in AUGMENTATIONS:
                raise ValueError(f"unknown augmentation {name!r}: choose out of {', '.join(AUGMENTATIONS)}")

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.data) / self.batch_size)

    def epoch(self, draw: int) -> Iterator[Batch]:
        """The batches of one draw: pass the epoch's number in training."""
        count = len(self.data)
        order = permutation(self.seed, Purpose.ORDER, draw, count) if self.shuffle else torch.arange(count)
        for index in order.tensor_split(len(self)):
            images = self.data.images[index].to(self.device)
            labels = self.data.labels[index].to(self.device)
            for name in self.augment:
                images = AUGMENTATIONS[name](images, seed=self.seed, draw=draw, index=index)
            yield Batch(images.float() / 255, labels, index)

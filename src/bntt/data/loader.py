"""Batches of a sample set, in an order and with an augmentation that depend only on (seed, draw, index)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bntt.data.augment import AUGMENTATIONS
from bntt.data.images import ImageSet
from bntt.data.samples import SampleSet
from bntt.ops.random import Purpose, permutation


class Batch(NamedTuple):
    """What one step of training or evaluation takes."""

    inputs: Tensor
    """float32, ``[B, ...]``, as an encoder takes them: images ``[B, C, H, W]`` in [0, 1], frames ``[B, T, ...]``."""
    labels: Tensor
    """int64, ``[B]``."""
    indices: Tensor
    """int64, ``[B]``: each sample's place in its set."""


@dataclass(frozen=True)
class SampleLoader:
    """All samples of a set in batches of nearly equal size, none left out.

    An epoch of N samples makes ceil(N / batch_size) batches whose sizes differ by one at most, so that no last batch is
    too small to be normalised.

    Args:
        data: an :class:`ImageSet`, a :class:`FrameSet`, or any :class:`SampleSet`.
        batch_size: the largest batch.
        shuffle: a new order every draw; otherwise the set's own.
        augment: for images: names out of "crop", "flip", applied in this order.
        seed: of order and augmentation.
        device: where batches go; the set itself stays where it is.

    Raises:
        ValueError: if the set is empty, the batch size below 1, or an augmentation unknown, or none for such samples.

    >>> from bntt.data import fashion_mnist_bundled
    >>> loader = SampleLoader(fashion_mnist_bundled().test, batch_size=300)
    >>> [len(batch.labels) for batch in loader.epoch(0)]
    [250, 250, 250, 250]
    """

    data: SampleSet
    batch_size: int
    shuffle: bool = False
    augment: Sequence[str] = ()
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")
        if len(self.data) == 0:
            raise ValueError("there are no samples: 0 batches")
        for name in self.augment:
            if name not in AUGMENTATIONS:
                raise ValueError(f"unknown augmentation {name!r}: choose out of {', '.join(AUGMENTATIONS)}")
        if self.augment and not isinstance(self.data, ImageSet):
            raise ValueError(
                f"augmentations are for images, an ImageSet, got {', '.join(self.augment)} for a "
                f"{type(self.data).__name__}: leave augment away, or change the samples in batch() of a set of your own"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.data) / self.batch_size)

    def epoch(self, draw: int) -> Iterator[Batch]:
        """The batches of one draw: pass the epoch's number in training."""
        count = len(self.data)
        order = permutation(self.seed, Purpose.ORDER, draw, count) if self.shuffle else torch.arange(count)
        for index in order.tensor_split(len(self)):
            inputs, labels = self.data.batch(index).to(self.device), self.data.labels[index].to(self.device)
            for name in self.augment:
                inputs = AUGMENTATIONS[name](inputs, seed=self.seed, draw=draw, index=index)
            yield Batch(inputs, labels, index)

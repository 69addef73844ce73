"""What a loader gives to a classifier: images, labels, and the index that names each sample's noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

Samples = tuple[Tensor, Tensor, Tensor]
"""``(images, labels, index)``, index naming each sample in its dataset."""


@runtime_checkable
class EpochLoader(Protocol):
    """A loader whose order and augmentation are a function of the draw, such as ``bntt.data.ImageLoader``."""

    def __len__(self) -> int: ...

    def epoch(self, draw: int) -> Iterator[Samples]: ...


Loader = EpochLoader | Iterable[tuple[Tensor, Tensor]]
"""An :class:`EpochLoader`, or anything that yields ``(images, labels)``, such as a torch ``DataLoader``."""


def samples(loader: Loader, draw: int) -> Iterator[Samples]:
    """One pass over a loader; the samples of a plain one are numbered in the order in which they come.

    >>> pairs = [(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))] * 2
    >>> [index.tolist() for _, _, index in samples(pairs, draw=0)]
    [[0, 1], [2, 3]]
    """
    if isinstance(loader, EpochLoader):
        yield from loader.epoch(draw)
        return
    first = 0
    for images, labels in loader:
        yield images, labels, torch.arange(first, first + len(labels))
        first += len(labels)

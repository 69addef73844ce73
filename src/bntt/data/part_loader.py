"""Batches of a part of a set, whose samples keep their places in the whole, and so their noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from bntt.data.loader import Batch, SampleLoader
from bntt.data.samples import SampleSet


@dataclass(frozen=True)
class PartLoader:
    """Some samples of a set in batches, in the order of their places; a sample's index is its place in the whole set.

    What a network says of a sample is then the same whether all of the set is measured or a part of it.

    Args:
        data: the whole set.
        places: of the samples, such as :func:`~bntt.data.stratified` gives them.
        batch_size: the largest batch.
        device: where batches go.
        share: ``(rank, count)``, as a :class:`SampleLoader`'s; a part of a batch may have no sample.

    Raises:
        ValueError: if there is no place, or the batch size is below 1, or the rank none of that count.

    >>> from bntt.data import fashion_mnist_bundled
    >>> loader = PartLoader(fashion_mnist_bundled().test, torch.tensor([3, 500, 999]), batch_size=2)
    >>> [batch.indices.tolist() for batch in loader.epoch(0)]
    [[3, 500], [999]]
    """

    data: SampleSet
    places: Int[Tensor, " M"]
    batch_size: int
    device: str = "cpu"
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        _ = self._loader  # refuses what cannot be loaded

    @cached_property
    def _loader(self) -> SampleLoader:
        whole = torch.equal(self.places, torch.arange(len(self.data)))  # which needs no copy
        data = self.data if whole else self.data.select(self.places)
        return SampleLoader(data, self.batch_size, device=self.device, share=self.share)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._loader)

    def epoch(self, draw: int, first: int = 0) -> Iterator[Batch]:
        """The batches of one draw, the same in every draw, from number ``first`` on."""
        for batch in self._loader.epoch(draw, first):
            yield batch._replace(indices=self.places[batch.indices])

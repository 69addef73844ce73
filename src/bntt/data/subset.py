"""Some of a set, where all of it would take too long: of each class its share, the same ones always."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from bntt.ops.random import Purpose, permutation

if TYPE_CHECKING:
    from bntt.data.samples import SampleSet


def stratified(samples: SampleSet, count: int, seed: int = 0) -> Int[Tensor, " count"]:
    """The places of ``count`` samples, ascending, as many of each class as the set's shares allow.

    They are the first of :func:`fair_order`, so a smaller subset of the same seed is part of a larger one. With fewer
    samples than classes, some classes are left out: see :func:`how_chosen`.

    Args:
        samples: the set, such as an :class:`~bntt.data.ImageSet`; ``samples.select(places)`` is the subset.
        count: 1 to all of them.
        seed: of the choice.

    Raises:
        ValueError: if the count is out of range.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.tensor([0] * 4 + [1] * 4), ("cat", "dog"))
    >>> data.select(stratified(data, 4)).counts(), stratified(data, 8).tolist()
    ([2, 2], [0, 1, 2, 3, 4, 5, 6, 7])
    """
    total = len(samples)
    if not 1 <= count <= total:
        raise ValueError(f"there are {total} samples to choose from: count must be 1 to {total}, got {count}")
    return fair_order(samples, seed)[:count].sort().values


def fair_order(samples: SampleSet, seed: int = 0) -> Int[Tensor, " N"]:
    """All places in an order whose first are always as many of each class as the set's shares allow.

    The samples of each class are put in an order by the seed; number r of the n of its class has the share
    (r + 1/2) / n, and the lowest shares of the set come first.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.tensor([0] * 4 + [1] * 4), ("cat", "dog"))
    >>> [data.select(fair_order(data)[:count]).counts() for count in (2, 4, 6)]
    [[1, 1], [2, 2], [3, 3]]
    """
    total = len(samples)
    order = permutation(seed, Purpose.SPLIT, 0, total)
    share = torch.empty(total, dtype=torch.float64)
    for label in range(len(samples.classes)):
        members = order[samples.labels[order] == label]
        share[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / max(1, len(members))
    return order[torch.argsort(share[order], stable=True)]


def how_chosen(samples: SampleSet, count: int, seed: int = 0) -> str:
    """What to say beside a number of a :func:`stratified` subset.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6) % 3, ("cat", "dog", "cow"))
    >>> how_chosen(data, 6), how_chosen(data, 3, seed=4)
    ('all 6', '3 of 6, stratified by class, seed 4')
    >>> how_chosen(data, 1)
    '1 of 6, stratified by class, seed 0, with 1 of the 3 classes'
    """
    places = stratified(samples, count, seed)
    if count == len(samples):
        return f"all {count:,}"
    said = f"{count:,} of {len(samples):,}, stratified by class, seed {seed}"
    there, had = (int((labels.bincount() > 0).sum()) for labels in (samples.labels[places], samples.labels))
    return said if there == had else f"{said}, with {there} of the {had} classes"

"""Sets of labelled samples of any kind: the protocol, stratified subsets, the validation split."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.ops.random import Purpose, permutation

Same = TypeVar("Same")


@runtime_checkable
class SampleSet(Protocol):
    """Labelled samples: any class with these five members can be loaded, split, trained on and measured.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("cat", "dog"))
    >>> isinstance(data, SampleSet), data.batch(torch.tensor([2, 0])).shape
    (True, torch.Size([2, 1, 2, 2]))
    """

    @property
    def labels(self) -> Tensor:
        """int64, ``[N]``, from 0 to len(classes) - 1."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    def __len__(self) -> int:
        """Return N, the number of samples."""
        ...

    def select(self: Same, index: Int[Tensor, " M"]) -> Same:
        """Return the samples at these places, in this order, as a new set."""
        ...

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B *shape"]:
        """Return the values of the samples at these places, float32, as an encoder takes them."""
        ...


Samples = TypeVar("Samples", bound=SampleSet)


def check_labels(labels: Tensor, count: int, classes: tuple[str, ...], what: str) -> None:
    """Refuse labels that do not name a class of each sample."""
    if labels.dtype != torch.int64 or labels.shape != (count,):
        raise ValueError(
            f"labels must be int64, one for each of {count} {what}s, got {labels.dtype} {list(labels.shape)}"
        )
    wrong = ((labels < 0) | (labels >= len(classes))).nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f"label {int(labels[first])} of {what} {first} is outside 0-{len(classes) - 1} "
            f"({len(classes)} classes, {len(wrong)} such labels)"
        )


def stratified(samples: SampleSet, count: int, seed: int = 0) -> Int[Tensor, " count"]:
    """Return the places of ``count`` samples, ascending, stratified by class.

    They are the first of :func:`fair_order`, so with the same seed a smaller subset is part of a larger one. With fewer
    samples than classes, some classes are left out: see :func:`how_chosen`.

    Args:
        samples: the set, such as an :class:`~bntt.data.ImageSet`; ``samples.select(places)`` is the subset.
        count: 1 to all of them.
        seed: seed of the choice.

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
    """Return all indices, by (r + 1/2) / n for the r-th of n in a class: every prefix is stratified by class."""
    total = len(samples)
    order = permutation(seed, Purpose.SPLIT, 0, total)
    share = torch.empty(total, dtype=torch.float64)
    for label in range(len(samples.classes)):
        members = order[samples.labels[order] == label]
        share[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / max(1, len(members))
    return order[torch.argsort(share[order], stable=True)]


def how_chosen(samples: SampleSet, count: int, seed: int = 0) -> str:
    """Describe the choice of a :func:`stratified` subset, to be printed with its results."""
    places = stratified(samples, count, seed)
    if count == len(samples):
        return f"all {count:,}"
    said = f"{count:,} of {len(samples):,}, stratified by class, seed {seed}"
    there, had = (int((labels.bincount() > 0).sum()) for labels in (samples.labels[places], samples.labels))
    return said if there == had else f"{said}, with {there} of the {had} classes"


def split_validation(samples: Samples, count: int, seed: int) -> tuple[Samples, Samples, Tensor]:
    """Set aside ``count`` samples for validation, stratified by class.

    Args:
        samples: the training samples.
        count: number of validation samples, 1 or more.
        seed: seed of the random choice.

    Returns:
        ``(training, validation, index)``: ``index`` holds the original places of the validation samples.

    Raises:
        TypeError: if the count is not a whole number.
        ValueError: if the count is below 1, or so large that a class would have no sample left to train on; the message
            names the class.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1] * 4), ("cat", "dog"))
    >>> training, validation, _ = split_validation(data, 2, seed=0)
    >>> training.counts(), validation.counts()
    ([3, 3], [1, 1])
    """
    order = fair_order(samples, seed)
    labels = samples.labels[order].tolist()
    ends = {label: place for place, label in enumerate(labels)}
    most = min(ends.values(), default=0)
    if count != int(count):
        raise TypeError(f"count is a number of samples, got {count!r}: for a share, round(share * len(samples))")
    if not 0 < count <= most:
        more = f": more would leave the class {samples.classes[labels[most]]!r} none to train on" if ends else ""
        raise ValueError(f"validation needs 1 to {most} of {len(samples)} samples, got {count}{more}")
    chosen = order[: int(count)].sort().values
    rest = torch.ones(len(samples), dtype=torch.bool)
    rest[chosen] = False
    return samples.select(rest.nonzero().squeeze(1)), samples.select(chosen), chosen


def some_of(samples: Samples, count: int, seed: int) -> Samples:
    """Return ``count`` samples of a set, stratified by class; the whole set if it has no more."""
    return samples if count >= len(samples) else samples.select(stratified(samples, count, seed))

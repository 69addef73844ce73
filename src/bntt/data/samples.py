"""What is trained on and measured: a set of labelled samples, whatever they are; its validation part."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.data.subset import fair_order, stratified

Same = TypeVar("Same")
"""A set of the kind that it is taken from."""


@runtime_checkable
class SampleSet(Protocol):
    """Labelled samples: whatever has these five can be loaded, split, trained on and measured.

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
        """The names of the classes."""
        ...

    def __len__(self) -> int:
        """N, how many samples."""
        ...

    def select(self: Same, index: Int[Tensor, " M"]) -> Same:
        """The samples at these places, in this order, as a set of their own."""
        ...

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B *shape"]:
        """The values of the samples at these places, float32, as an encoder takes them."""
        ...


Samples = TypeVar("Samples", bound=SampleSet)


def check_labels(labels: Tensor, count: int, classes: tuple[str, ...], what: str) -> None:
    """Refuse labels that do not name a class of each sample.

    Args:
        count: how many samples there are.
        what: what to call one of them.

    Raises:
        ValueError: if they are not int64 ``[count]`` from 0 to len(classes) - 1.

    >>> check_labels(torch.tensor([0, 1, 1]), 3, ("cat", "dog"), "image")
    """
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


def split_validation(samples: Samples, count: int, seed: int) -> tuple[Samples, Samples, Tensor]:
    """Take ``count`` samples for validation, as many of each class as the set's shares allow.

    Returns:
        ``(training, validation, index)``: ``index`` holds the places that the validation samples had.

    Raises:
        ValueError: if the count is below 1, or so large that a class would have no sample left to train on, which is
            named.

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
    if not 0 < count <= most:
        more = f": more would leave the class {samples.classes[labels[most]]!r} none to train on" if ends else ""
        raise ValueError(f"validation needs 1 to {most} of {len(samples)} samples, got {count}{more}")
    chosen = order[:count].sort().values
    rest = torch.ones(len(samples), dtype=torch.bool)
    rest[chosen] = False
    return samples.select(rest.nonzero().squeeze(1)), samples.select(chosen), chosen


def some_of(samples: Samples, count: int, seed: int) -> Samples:
    """So many samples of a set, as many of each class as its shares allow; all of them where there are not more.

    Raises:
        ValueError: if the count is below 1.

    >>> from bntt.data import ImageSet
    >>> data = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.tensor([0] * 4 + [1] * 4), ("cat", "dog"))
    >>> some_of(data, 4, seed=0).counts(), len(some_of(data, 100, seed=0))
    ([2, 2], 8)
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, got {count}")
    return samples if count >= len(samples) else samples.select(stratified(samples, count, seed))

"""Batches of a set or of a part of it; order and random changes depend only on (seed, draw, index)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from bntt.data.augment import MIXES, pair, soft_labels
from bntt.data.samples import SampleSet
from bntt.doors import OldName
from bntt.ops.random import Purpose, permutation


class Batch(NamedTuple):
    """Samples that go through a network together, in training or evaluation; yielded by ``SampleLoader``.

    >>> Batch(torch.zeros(2, 1, 28, 28), torch.tensor([3, 4]), torch.arange(2)).inputs.shape
    torch.Size([2, 1, 28, 28])
    """

    inputs: Tensor
    """float32, ``[B, ...]``, the input of an encoder: images ``[B, C, H, W]`` in [0, 1], frames ``[B, T, ...]``."""
    labels: Tensor
    """int64, ``[B]``; from a loader that mixes, float32, ``[B, K]``: the share of every class, with sum 1."""
    indices: Tensor
    """int64, ``[B]``: each sample's place in its set; for a mixed sample, that of the first image."""


Batch.images = OldName("images", "inputs")  # type: ignore[attr-defined]  # inside the class, mypy would see no tuple


@dataclass(frozen=True)
class SampleLoader:
    """Load all samples of a set in batches of nearly equal size; none is left out.

    An epoch of N samples has ceil(N / batch_size) batches whose sizes differ by at most one, so that no last batch is
    too small to normalise.

    Args:
        data: an :class:`ImageSet`, a :class:`FrameSet`, or any :class:`SampleSet`.
        batch_size: the largest batch.
        shuffle: use a new order in every draw instead of the set's own.
        augment: names, applied in the order given: for images "crop", "flip", "cutout", "erase"; for frames of events
            "flip", "shift", the same for all frames of a sample; or yours, by :func:`bntt.register.augmentation`.
        seed: seed of order, augmentation and mixing.
        device: where batches go; the set itself stays where it is.
        mix: for images, after augmentation: "mixup" or "cutmix" with another image of the set, augmented as it is in
            this draw; "" for none.
        mix_alpha: α above 0: the share of the first image is drawn from Beta(α, α).
        share: ``(rank, count)``: load only part ``rank`` of every batch, consecutive samples; one part per process. The
            sizes of the ``count`` parts differ by at most one; together they are the batch.

    Raises:
        ValueError: if the set is empty, the batch size below 1, α not a finite number above 0, an augmentation or mix
            unknown or not available for these samples, or the rank out of range.
        TypeError: if ``data`` is no sample set.

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
    mix: str = ""
    mix_alpha: float = 1.0
    share: tuple[int, int] = (0, 1)
    _passes: list[int] = field(default_factory=lambda: [0], init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.data, SampleSet):
            raise TypeError(f"data must be a SampleSet, got {type(self.data).__name__}: fit takes a DataLoader, too")
        if len(self.data) == 0:
            raise ValueError("there are no samples: 0 batches")
        for name, fits, expected in (
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("share", 0 <= self.share[0] < self.share[1], "(rank, count) with 0 <= rank < count"),
            ("mix_alpha", 0 < self.mix_alpha < math.inf, "a finite number above 0"),
        ):
            if not fits:
                raise ValueError(f"{name} must be {expected}, got {getattr(self, name)}")
        mixes = MIXES if getattr(self.data, "mixes", False) else ()
        for what, names, known in (
            ("augmentation", self.augment, self._augmentations),
            ("mix", [self.mix] if self.mix else [], mixes),
        ):
            if wrong := [name for name in names if name not in known]:
                ways = f"choose out of {', '.join(known)}" if known else f"a {type(self.data).__name__} takes none"
                raise ValueError(f"unknown {what} {wrong[0]!r}: {ways}")

    @property
    def _augmentations(self) -> Mapping[str, Callable[..., Tensor]]:
        return getattr(self.data, "augmentations", {})

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(len(self.data) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the next draw, from 0 on: every pass is a new draw, as in a shuffling ``DataLoader``."""
        draw = self._passes[0]
        self._passes[0] += 1
        yield from self.epoch(draw)

    def begin_at(self, draw: int) -> None:
        """Make this draw the next pass, from its first batch."""
        self._passes[0] = draw

    def epoch(self, draw: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of one draw (in training, the epoch's number) from number ``first`` on.

        Earlier batches are not read, and the others are the same as in the whole epoch.

        Raises:
            ValueError: if ``first`` is not 0 to the number of batches.
        """
        if not 0 <= first <= len(self):
            raise ValueError(f"an epoch has {len(self)} batches: it begins with number 0 to {len(self)}, got {first}")
        count = len(self.data)
        order = permutation(self.seed, Purpose.ORDER, draw, count) if self.shuffle else torch.arange(count)
        for whole in order.tensor_split(len(self))[first:]:
            index = whole.tensor_split(self.share[1])[self.share[0]]
            yield self._mixed(index, draw) if self.mix and len(index) else self._batch(index, draw)

    def _batch(self, index: Tensor, draw: int) -> Batch:
        if not len(index):
            return Batch(torch.empty(0), self.data.labels[index].to(self.device), index)
        inputs, labels = self.data.batch(index).to(self.device), self.data.labels[index].to(self.device)
        for name in self.augment:
            inputs = self._augmentations[name](inputs, seed=self.seed, draw=draw, index=index)
        return Batch(inputs, labels, index)

    def _mixed(self, index: Tensor, draw: int) -> Batch:
        pairs = pair(seed=self.seed, draw=draw, index=index, count=len(self.data), alpha=self.mix_alpha)
        first, second = self._batch(index, draw), self._batch(pairs.partner, draw)
        inputs, kept = MIXES[self.mix](first.inputs, second.inputs, pairs)
        return Batch(inputs, soft_labels(first.labels, second.labels, kept, len(self.data.classes)), index)


@dataclass(frozen=True)
class PartLoader:
    """Load some samples of a set, in the order of their places; a sample's index is its place in the whole set.

    A network's result for a sample is therefore the same for the whole set and for a part of it.

    Args:
        data: the whole set.
        places: the samples' places, for example from :func:`~bntt.data.stratified`.
        batch_size: the largest batch.
        device: where batches go.
        share: ``(rank, count)``, as for a :class:`SampleLoader`; a part of a batch can be empty.

    Raises:
        ValueError: if there is no place, the batch size is below 1, or the rank is out of range.

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
        whole = torch.equal(self.places, torch.arange(len(self.data)))  # then no copy is needed
        data = self.data if whole else self.data.select(self.places)
        return SampleLoader(data, self.batch_size, device=self.device, share=self.share)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches, the same in every pass."""
        return self.epoch(0)

    def epoch(self, draw: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of one draw, the same in every draw, from number ``first`` on."""
        for batch in self._loader.epoch(draw, first):
            yield batch._replace(indices=self.places[batch.indices])

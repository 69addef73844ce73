"""Batches from a loader for a classifier: samples, labels, and the index that selects each sample's noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import Parameter, signature
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bntt.nn.tensor_checks import check_tensor

Samples = tuple[Tensor, Tensor, Tensor]
"""``(inputs, labels, index)``: a batch as the encoder takes it, index naming each sample in its dataset."""

Labels = Tensor | np.ndarray | Sequence[int] | Sequence[Sequence[float]]
"""One integer per sample, of any integer type; or soft labels, floats ``[B, K]``: class shares that sum to 1."""

SUM_WITHIN = 1e-4
"""Tolerance of the sum of a sample's shares around 1."""


@runtime_checkable
class EpochLoader(Protocol):
    """A loader whose order and augmentation are a function of the draw, such as ``bntt.data.SampleLoader``."""

    def __len__(self) -> int: ...

    def epoch(self, draw: int) -> Iterator[Samples]:
        """Yield the batches of a draw. It may take ``first`` too, the number of the first batch."""
        ...


Loader = EpochLoader | Iterable[tuple[Tensor, Labels]]
"""An :class:`EpochLoader`, or anything that yields ``(inputs, labels)``, such as a torch ``DataLoader``."""


def samples(loader: Loader, draw: int, first: int = 0) -> Iterator[Samples]:
    """Yield one pass over a loader, from batch number ``first`` on; a plain loader's samples are numbered in order."""
    epoch: Any = getattr(loader, "epoch", None) if isinstance(loader, EpochLoader) else None
    if not callable(epoch):
        batches = _numbered(loader)
    elif first and _takes_first(epoch):
        batches, first = _checked(epoch(draw, first=first)), 0
    else:
        batches = _checked(epoch(draw))
    left_out = sum(1 for _ in islice(batches, first))
    if left_out < first:
        raise ValueError(
            f"the loader gave {left_out} batches, too few to skip {first}: it is not the one that began this epoch"
        )
    yield from batches


def _takes_first(epoch: Callable[..., Any]) -> bool:
    found = signature(epoch).parameters.get("first")
    return found is not None and found.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def _checked(batches: Iterator[Samples]) -> Iterator[Samples]:
    for batch in batches:
        inputs, labels, index = _parts(batch, "a loader's epoch(draw) must yield (inputs, labels, index)", 3)
        check_tensor(index, "a classifier", "the index of a batch, each sample's place in its set,")
        yield inputs, _labels(labels, len(inputs)), index


def _numbered(loader: Any) -> Iterator[Samples]:
    start = 0
    for batch in loader:
        inputs, given = _parts(batch, "a loader must yield pairs (inputs, labels)", 2)
        labels = _labels(given, len(inputs))
        yield inputs, labels, torch.arange(start, start + len(labels), device="cpu")
        start += len(labels)


def _parts(batch: Any, expected: str, count: int) -> tuple[Any, ...]:
    """Return the parts of a batch, of which the first is a tensor of samples."""
    if not isinstance(batch, tuple | list) or len(batch) != count or getattr(batch[0], "ndim", 1) == 0:
        size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        raise ValueError(f"{expected}, got {type(batch).__name__}{size}: inputs are [B, ...]")
    check_tensor(batch[0], "a classifier", "the samples of a batch, such as images [B, C, H, W],")
    return tuple(batch)


def _labels(given: Any, count: int) -> Tensor:
    """Convert labels: any integers to int64 ``[B]``, shares to float32 ``[B, K]``."""
    labels, kinds = given, {"f": np.float64, "i": np.int64, "u": np.int64}
    if not isinstance(given, Tensor):
        try:
            array = np.asarray(given)
        except ValueError:  # rows of different lengths
            array = np.asarray("rows of different lengths")
        kind = kinds.get(array.dtype.kind)
        labels = array if kind is None else torch.from_numpy(array.astype(kind))
    if isinstance(labels, Tensor) and labels.is_floating_point() and labels.ndim == 2 and labels.shape[1]:
        if len(labels) == count:
            check_shares(labels)
            return labels.to(torch.float32)
    elif isinstance(labels, Tensor) and labels.dtype in _INTEGERS and labels.shape == (count,):
        return labels.to(torch.int64)
    raise ValueError(
        f"labels must be {count} integers, or shares of classes [{count}, K], got {labels.dtype} {list(labels.shape)}"
    )


_INTEGERS = {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64}


def check_shares(labels: Tensor) -> None:
    """Refuse soft labels ``[B, K]`` that are not finite, 0 or more and 1 in sum."""
    least, total = labels.double().amin(1), labels.double().sum(1)
    wrong = (~((least >= 0) & ((total - 1).abs() < SUM_WITHIN))).nonzero()  # NaN is neither
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"soft labels are shares of the classes, finite, 0 or more and 1 in sum (within {SUM_WITHIN:g}), got "
            f"{float(least[row]):.4g} at least and {float(total[row]):.6g} in sum in row {row} of the batch"
        )

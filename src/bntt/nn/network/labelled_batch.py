"""Batches from a loader for a classifier: samples, labels, and the index that selects each sample's noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from inspect import Parameter, signature
from itertools import islice
from typing import Any, Protocol, TypeGuard, runtime_checkable

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


class _Skipping(Protocol):
    """An :class:`EpochLoader` that can begin at any batch."""

    def epoch(self, draw: int, *, first: int) -> Iterator[Samples]: ...


Loader = EpochLoader | Iterable[tuple[Tensor, Labels]]
"""An :class:`EpochLoader`, or anything that yields ``(inputs, labels)``, such as a torch ``DataLoader``."""


def samples(loader: Loader, draw: int, first: int = 0) -> Iterator[Samples]:
    """Yield one pass over a loader, from batch number ``first`` on; a plain loader's samples are numbered in order."""
    if first < 0:
        raise ValueError(f"first must be 0 or more, got {first}")
    if not isinstance(loader, EpochLoader) or not callable(loader.epoch):
        batches = _numbered(loader)
    elif first and _skips(loader):
        batches, first = _checked(loader.epoch(draw, first=first)), 0
    else:
        batches = _checked(loader.epoch(draw))
    left_out = sum(1 for _ in islice(batches, first))
    if left_out < first:
        raise ValueError(
            f"the loader gave {left_out} batches, too few to skip {first}: it is not the one that began this epoch"
        )
    yield from batches


def _skips(loader: Any) -> TypeGuard[_Skipping]:
    """Return True if ``epoch`` has a parameter ``first``."""
    try:
        found = signature(loader.epoch).parameters.get("first")
    except (TypeError, ValueError):  # a callable that Python cannot look into
        return False
    return found is not None and found.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def _checked(batches: Iterator[Samples]) -> Iterator[Samples]:
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 3:
            raise ValueError(f"a loader's epoch(draw) must yield (inputs, labels, index), got {_kind(batch)}")
        inputs, labels, index = batch
        check_tensor(index, "a classifier", "the index of a batch, each sample's place in its set,")
        yield _inputs(inputs), _labels(labels, len(inputs)), index


def _numbered(loader: Any) -> Iterator[Samples]:
    if not isinstance(loader, Iterable):
        raise TypeError(
            f"a loader yields (inputs, labels), got {type(loader).__name__}, which yields nothing: give a "
            f"bntt.data.SampleLoader of a set, a torch DataLoader, or a list of such pairs"
        )
    start = 0
    for batch in loader:
        inputs, given = _pair(batch)
        count = len(given) if isinstance(given, Sized) and getattr(given, "ndim", None) != 0 else None
        if inputs.ndim > 2 and len(inputs) != count == inputs.shape[1]:
            raise ValueError(
                f"there are {count} labels, and as many samples in the second axis of {list(inputs.shape)}: "
                f"samples come first, [B, T, ...], so give inputs.transpose(0, 1)"
            )
        labels = _labels(given, len(inputs))
        yield inputs, labels, torch.arange(start, start + len(labels), device="cpu")
        start += len(labels)


def _pair(batch: Any) -> tuple[Tensor, Any]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(f"a loader must yield pairs (inputs, labels), got {_kind(batch)}")
    return _inputs(batch[0]), batch[1]


def _kind(batch: Any) -> str:
    """Describe the type of a batch."""
    return type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")


def _inputs(inputs: Any) -> Tensor:
    check_tensor(inputs, "a classifier", "the samples of a batch, such as images [B, C, H, W],")
    if inputs.ndim == 0:
        raise ValueError("the samples of a batch must be one tensor [B, ...], got a single number")
    return inputs  # type: ignore[no-any-return]


def _labels(given: Any, count: int) -> Tensor:
    """Convert labels: any integers to int64 ``[B]``, shares to float32 ``[B, K]``."""
    expected = f"labels must be {count} integers, or shares of classes [{count}, K]"
    try:
        labels = given if isinstance(given, Tensor) else _from_array(np.asarray(given))
    except (TypeError, ValueError):  # the second: rows of different lengths
        raise ValueError(f"{expected}, got {_described(given)}") from None
    if labels.is_floating_point() and labels.ndim == 2 and labels.shape[1] and len(labels) == count:
        return _shares(labels)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool or labels.shape != (count,):
        raise ValueError(f"{expected}, got {labels.dtype} {list(labels.shape)}")
    return labels.to(torch.int64)


def _shares(labels: Tensor) -> Tensor:
    wrong = not_shares(labels)
    if len(wrong):
        row = int(wrong[0])
        least, total = labels.double().amin(1), labels.double().sum(1)
        raise ValueError(
            f"soft labels are shares of the classes, finite, 0 or more and 1 in sum (within {SUM_WITHIN:g}), got "
            f"{float(least[row]):.4g} at least and {float(total[row]):.6g} in sum in row {row} of the batch"
        )
    return labels.to(torch.float32)


def not_shares(labels: Tensor) -> Tensor:
    """Return the rows of ``[B, K]`` that are not shares of classes: finite, 0 or more, 1 in sum."""
    wide = labels.double()
    return (~((wide.amin(1) >= 0) & ((wide.sum(1) - 1).abs() < SUM_WITHIN))).nonzero().flatten()  # NaN is neither


def _from_array(array: np.ndarray) -> Tensor:
    if array.dtype.kind == "f" and array.ndim == 2:
        return torch.from_numpy(array.astype(np.float64))
    if array.dtype.kind not in "iu":
        raise TypeError
    return torch.from_numpy(array.astype(np.int64))


def _described(given: Any) -> str:
    if isinstance(given, np.ndarray):
        return f"an array of {given.dtype}"
    strangers = [value for value in given if not isinstance(value, int)] if isinstance(given, Sequence) else []
    return type(given).__name__ + (f" with {strangers[0]!r}" if strangers else "")

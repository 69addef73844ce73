"""What a loader gives to a classifier: samples, labels, and the index that names each sample's noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

Samples = tuple[Tensor, Tensor, Tensor]
"""``(inputs, labels, index)``: a batch as the encoder takes it, index naming each sample in its dataset."""

Labels = Tensor | np.ndarray | Sequence[int]
"""One integer a sample, of any integer type."""


@runtime_checkable
class EpochLoader(Protocol):
    """A loader whose order and augmentation are a function of the draw, such as ``bntt.data.SampleLoader``."""

    def __len__(self) -> int: ...

    def epoch(self, draw: int) -> Iterator[Samples]: ...


Loader = EpochLoader | Iterable[tuple[Tensor, Labels]]
"""An :class:`EpochLoader`, or anything that yields ``(inputs, labels)``, such as a torch ``DataLoader``."""


def samples(loader: Loader, draw: int) -> Iterator[Samples]:
    """One pass over a loader; the samples of a plain one are numbered in the order in which they come.

    A loader whose ``epoch`` is a number, or anything else that cannot be called, is a plain one.

    Raises:
        ValueError: on a batch that is not inputs and labels, or labels that are not one integer a sample.

    >>> pairs = [(torch.zeros(2, 1, 4, 4), [0, 1])] * 2
    >>> [index.tolist() for _, _, index in samples(pairs, draw=0)]
    [[0, 1], [2, 3]]
    """
    if isinstance(loader, EpochLoader) and callable(loader.epoch):
        for inputs, labels, index in loader.epoch(draw):
            yield _inputs(inputs), _labels(labels, len(inputs)), index
        return
    if not isinstance(loader, Iterable):
        raise ValueError(f"a loader yields (inputs, labels), got {type(loader).__name__}, which yields nothing")
    first = 0
    for batch in loader:
        inputs, given = _pair(batch)
        labels = _labels(given, len(inputs))
        yield inputs, labels, torch.arange(first, first + len(labels))
        first += len(labels)


def _pair(batch: Any) -> tuple[Tensor, Any]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        came = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
        raise ValueError(f"a loader must yield pairs (inputs, labels), got {came}")
    return _inputs(batch[0]), batch[1]


def _inputs(inputs: Any) -> Tensor:
    if not isinstance(inputs, Tensor) or inputs.ndim == 0:
        came = "a single number" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"the samples of a batch must be one tensor [B, ...], such as images [B, C, H, W], got {came}")
    return inputs


def _labels(given: Any, count: int) -> Tensor:
    """int64 ``[B]`` out of any integers."""
    try:
        labels = given if isinstance(given, Tensor) else _from_array(np.asarray(given))
    except (TypeError, ValueError):  # the second: rows of different lengths
        raise ValueError(f"labels must be {count} integers, got {_described(given)}") from None
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool or labels.shape != (count,):
        raise ValueError(f"labels must be {count} integers, got {labels.dtype} {list(labels.shape)}")
    return labels.to(torch.int64)


def _from_array(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "iu":
        raise TypeError
    return torch.from_numpy(array.astype(np.int64))


def _described(given: Any) -> str:
    if isinstance(given, np.ndarray):
        return f"an array of {given.dtype}"
    strangers = [value for value in given if not isinstance(value, int)] if isinstance(given, Sequence) else []
    return type(given).__name__ + (f" with {strangers[0]!r}" if strangers else "")

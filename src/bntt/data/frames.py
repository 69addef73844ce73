"""Labelled samples with a time axis, frames of events or sequences, and the file that frames are written to."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.data.augment import EVENT_AUGMENTATIONS
from bntt.data.samples import check_labels

COUNTS = (torch.uint8, torch.uint16)
HEADER = 512
"""Bytes of length and header, padded with spaces, since the header is known only at the end."""
CHUNK = 1 << 22


@dataclass(frozen=True)
class FrameSet:
    """Labelled samples of T time steps each, for a :class:`bntt.nn.FrameEncoder` with the same T.

    A frame is what one time step shows: the events of a camera's pixels ``[C, H, W]``, with C = 2 if polarities are
    separate, or the features ``[F]`` of a sequence.

    Raises:
        ValueError: on frames or labels other than described below, or a scale that is not a finite number above 0.

    >>> events = torch.zeros(3, 10, 2, 8, 8, dtype=torch.uint8)  # ten frames each, of 8x8 pixels
    >>> data = FrameSet(events, torch.tensor([0, 1, 1]), ("left", "right"), scale=0.1)
    >>> data.num_steps, data.batch(torch.tensor([2, 0])).shape
    (10, torch.Size([2, 10, 2, 8, 8]))
    """

    frames: Tensor
    """``[N, T, C, H, W]`` or ``[N, T, F]``: uint8 or uint16 counts, or finite floating point values."""
    labels: Tensor
    """int64, ``[N]``, from 0 to len(classes) - 1."""
    classes: tuple[str, ...]
    """Names of the classes."""
    scale: float = 1.0
    """Factor applied to a batch's values."""
    rows: Tensor | None = None
    """int64, the place of each sample in ``frames``; None: all, in order. A selection copies no frames, so that a
    mapped file, which can be larger than memory, is only read batch by batch."""

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.ndim not in (3, 5) or not (frames.dtype in COUNTS or frames.is_floating_point()):
            raise ValueError(
                f"frames must be [N, T, C, H, W] or [N, T, F], uint8 or uint16 counts or floating point, "
                f"got {frames.dtype} {list(frames.shape)}"
            )
        if 0 in frames.shape[1:]:
            raise ValueError(f"frames must have one time step or more, and values in it, got {list(frames.shape)}")
        if frames.is_floating_point() and not torch.isfinite(frames).all():
            first = int((~torch.isfinite(frames)).flatten(1).any(1).nonzero()[0])
            raise ValueError(f"frames must be finite, sample {first} is not: a NaN membrane would never fire again")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a finite number above 0, got {self.scale}")
        check_labels(self.labels, len(self), self.classes, "sample")

    def __len__(self) -> int:
        return len(self.frames if self.rows is None else self.rows)

    @property
    def num_steps(self) -> int:
        """T, the same for every sample."""
        return self.frames.shape[1]

    @property
    def augmentations(self) -> Mapping[str, Callable[..., Tensor]]:
        """Augmentations that a :class:`~bntt.data.SampleLoader` can apply to frames of events; none for sequences."""
        return EVENT_AUGMENTATIONS if self.frames.ndim == 5 else {}

    def select(self, index: Int[Tensor, " M"]) -> FrameSet:
        """Return the samples at these places, in this order."""
        return FrameSet(self.frames, self.labels[index], self.classes, self.scale, self._places(index))

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B T *frame"]:
        """Return the frames of these samples, float32, times the scale."""
        return self.frames[self._places(index)].float() * self.scale

    def _places(self, index: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        return index if self.rows is None else self.rows[index]


class FrameSplits(NamedTuple):
    """Training and test part of a dataset of frames.

    >>> one = FrameSet(torch.zeros(1, 5, 2, 4, 4), torch.tensor([0]), ("left",))
    >>> FrameSplits(one, one).train.num_steps
    5
    """

    train: FrameSet
    """Training samples."""
    test: FrameSet
    """Test samples."""


class FrameFile:
    """File of ``frames`` ``[N, T, C, H, W]`` and ``labels`` ``[N]``, uint8 until a sample has uint16 counts."""

    def __init__(self, path: Path, shape: Sequence[int], labels: Sequence[int]) -> None:
        self.path, self.shape, self.labels = path, tuple(shape), np.array(labels, "<i8")
        self.bits = 8

    def __enter__(self) -> FrameFile:
        self._file = self.path.open("w+b")
        self._file.write(bytes(HEADER) + self.labels.tobytes())
        return self

    def add(self, counts: Tensor) -> None:
        """Write the next sample, ``[T, C, H, W]``."""
        if counts.dtype == torch.uint16 and self.bits == 8:
            self._widen()
        self._file.write(counts.numpy().astype(f"<u{self.bits // 8}").tobytes())

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._file:
            if error is None:
                self._write_header()

    def _write_header(self) -> None:
        past = len(self.labels) * 8
        frames = past + int(np.prod(self.shape, dtype=object)) * self.bits // 8
        header = {
            "labels": {"dtype": "I64", "shape": [len(self.labels)], "data_offsets": [0, past]},
            "frames": {"dtype": f"U{self.bits}", "shape": self.shape, "data_offsets": [past, frames]},
        }
        self._file.seek(0)
        self._file.write((HEADER - 8).to_bytes(8, "little") + json.dumps(header).encode().ljust(HEADER - 8))

    def _widen(self) -> None:
        """Widen the samples so far to 16 bits, from the end, so that none is overwritten before it is read."""
        start = HEADER + len(self.labels) * 8
        for first in range((self._file.tell() - start) // CHUNK * CHUNK, -1, -CHUNK):
            self._file.seek(start + first)
            part = np.frombuffer(self._file.read(CHUNK), np.uint8)
            self._file.seek(start + 2 * first)
            self._file.write(part.astype("<u2").tobytes())
        self._file.seek(0, 2)
        self.bits = 16

"""A set of labelled samples that have time in them: frames of events, sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.data.samples import check_labels

COUNTS = (torch.uint8, torch.uint16)
"""Types of counts of events."""


@dataclass(frozen=True)
class FrameSet:
    """Labelled samples of T time steps each, for a :class:`bntt.nn.FrameEncoder` of as many.

    A frame is what one time step shows: the events of a camera's pixels ``[C, H, W]``, C = 2 where their polarities are
    kept apart, or the features ``[F]`` of a sequence.

    Raises:
        ValueError: on frames or labels that are none of those below, or a scale that is not a finite number above 0.

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
    scale: float = 1.0
    """What a batch's values are multiplied by."""
    rows: Tensor | None = None
    """int64, the place of each sample in ``frames``; None: all, in order. A selection leaves the frames where they are,
    so that those of a mapped file, which may be larger than memory, are read in batches only."""

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
        """T, of every sample."""
        return self.frames.shape[1]

    def select(self, index: Int[Tensor, " M"]) -> FrameSet:
        """The samples at these places, in this order."""
        return FrameSet(self.frames, self.labels[index], self.classes, self.scale, self._places(index))

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B T *frame"]:
        """The frames of these samples, float32, times the scale."""
        return self.frames[self._places(index)].float() * self.scale

    def _places(self, index: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        return index if self.rows is None else self.rows[index]

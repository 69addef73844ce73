"""Events to frames: counts of events by time step, polarity, row and column. Pure functions that lose no event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Int, Integer
from pydantic import Field
from torch import Tensor

from bntt.registry import check_options

LARGEST_SIDE = 1 << 15


@dataclass(frozen=True)
class Events:
    """Events of one recording, in order of time.

    Raises:
        ValueError: if there is no event, the arrays differ in length, an event lies outside the sensor, has a polarity
            that is neither 0 nor 1, or a time earlier than the event before it.

    >>> events = Events(np.array([5, 5, 9]), np.array([0, 3, 1]), np.array([2, 0, 1]), np.array([1, 0, 1]), 3, 4)
    >>> len(events), events.duration
    (3, 5)
    """

    t: Int[np.ndarray, "..."]
    """int64: microseconds, from an arbitrary origin."""
    x: Integer[np.ndarray, "..."]
    """Columns, 0 to width - 1."""
    y: Integer[np.ndarray, "..."]
    """Rows, 0 to height - 1."""
    p: Integer[np.ndarray, "..."]
    """Polarity: 1 brighter, 0 darker, unless the reader says otherwise."""
    height: int
    """Rows of the sensor."""
    width: int
    """Columns of the sensor."""
    left_out: int = 0
    """Number of words in the file that are not pixel events: triggers, image samples."""

    def __post_init__(self) -> None:
        shapes = [array.shape for array in (self.t, self.x, self.y, self.p)]
        if self.t.ndim != 1 or len(set(shapes)) > 1 or self.t.dtype != np.int64:
            raise ValueError(f"t must be int64 microseconds, and x, y, p as long, got {self.t.dtype} and {shapes}")
        if not (0 < self.height <= LARGEST_SIDE and 0 < self.width <= LARGEST_SIDE):
            raise ValueError(f"a sensor has 1 to {LARGEST_SIDE} rows and columns, got {self.height} and {self.width}")
        if not len(self.t):
            raise ValueError("there is no event")
        for name, values, past in (("x", self.x, self.width), ("y", self.y, self.height), ("p", self.p, 2)):
            if values.min() < 0 or values.max() >= past:
                first = int(((values < 0) | (values >= past)).argmax())
                what = "polarity 0 or 1" if name == "p" else f"{name} from 0 to {past - 1}"
                raise ValueError(f"event {first}: expected {what}, got {values[first]}")
        falls = self.t[1:] < self.t[:-1]
        if falls.any():
            first = int(falls.argmax()) + 1
            raise ValueError(f"event {first}: time falls from {self.t[first - 1]} to {self.t[first]}")

    def __len__(self) -> int:
        return len(self.t)

    @property
    def duration(self) -> int:
        """Microseconds from the first event to the last, inclusive: 1 if all have the same time."""
        return int(self.t[-1]) - int(self.t[0]) + 1


BYTE = (1 << 8) - 1
WIDE = (1 << 16) - 1
LARGEST_TABLE = 1 << 20
"""Pixels and polarities of a sensor whose cells are looked up in one table."""


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Counting of a recording's events in the cells of frames."""

    by: Literal["time", "count"] = "time"
    """Divide a recording's "time" equally into frames, or the "count" of its events."""
    cells: Literal["counts", "binary"] = "counts"
    """ "counts" of events, which the first layer takes as they are, or "binary": 1 if there are any."""
    beyond: Literal["widen", "saturate"] = "widen"
    """A count above 255 takes 16 bits per cell ("widen"), or stays 255 ("saturate")."""

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Binning(Counting):
    """How events become frames.

    Raises:
        OptionError: on an unknown choice, or a number below 1.

    >>> Binning(20, 42, 42, by="count").height
    42
    """

    num_steps: Annotated[int, Field(ge=1)]
    """T."""
    height: Annotated[int, Field(ge=1)]
    """H' of the frames, at most the sensor's."""
    width: Annotated[int, Field(ge=1)]
    """W' of the frames, at most the sensor's."""


@dataclass(frozen=True)
class Frames:
    """Frames of one recording."""

    counts: Tensor
    """``[T, 2, H', W']``, uint8, or uint16 where a count is over 255; polarity 0 comes first."""
    saturated: int
    """Events missing from the frames because their cell was full."""
    empty: float
    """Share of frames without events: not 0 if, for example, all events have one time or are fewer than the frames."""


def to_frames(events: Events, binning: Binning) -> Frames:
    """Return a recording's frames, with ``counts`` of events by step, polarity and cell: ``[T, 2, H', W']``.

    An event at row y of H goes to row ``y·H' // H`` of H', its column likewise: every event is in one cell, so the
    counts sum to the number of events, unless they are binary or saturated. The steps are those of :func:`time_edges`
    or :func:`count_edges`.

    Args:
        events: the events of one recording.
        binning: number of steps, size of a frame, and how steps divide the time.

    Raises:
        ValueError: if the frames are larger than the sensor, or a cell would hold more than 65,535 events.

    >>> events = Events(np.array([0, 1, 9]), np.array([0, 3, 3]), np.array([0, 0, 1]), np.array([1, 0, 0]), 2, 4)
    >>> to_frames(events, Binning(num_steps=2, height=1, width=2)).counts.tolist()
    [[[[0, 1]], [[1, 0]]], [[[0, 1]], [[0, 0]]]]
    """
    if binning.height > events.height or binning.width > events.width:
        sizes = f"frames of {binning.height}x{binning.width} are larger than the sensor, {events.height}x{events.width}"
        raise ValueError(f"{sizes}: take a smaller size (data.frames.size, --size)")
    shape = (binning.num_steps, 2, binning.height, binning.width)
    cells, edges = _cells(events, binning), EDGES[binning.by](events, binning.num_steps)
    counts = np.zeros((binning.num_steps, int(np.prod(shape[1:]))), np.uint16)
    saturated, most = 0, 0
    for step, (first, past) in enumerate(pairwise(edges.tolist())):
        if past > first:
            found = np.bincount(cells[first:past], minlength=counts.shape[1])
            if binning.cells == "binary":
                np.minimum(found, 1, out=found)
            elif binning.beyond == "saturate":
                saturated += int(np.maximum(found - BYTE, 0).sum())
                np.minimum(found, BYTE, out=found)
            most = max(most, int(found.max()))
            if most > WIDE:
                raise ValueError(f"a cell of step {step} holds {most} events, more than {WIDE}: take more steps")
            counts[step] = found
    frames = torch.from_numpy(counts.astype(np.uint8) if most <= BYTE else counts).reshape(shape)
    return Frames(frames, saturated, float((edges[1:] == edges[:-1]).mean()))


def time_edges(events: Events, num_steps: int) -> Int[np.ndarray, "T_and_one"]:
    """Return the index of each step's first event, then the event count; steps are ``⌊(t - t_first)·T / duration⌋``."""
    first = int(events.t[0])
    begins = [first - (-step * events.duration // num_steps) for step in range(num_steps)]  # rounded up
    return np.append(np.searchsorted(events.t, np.array(begins, np.int64)), len(events))


def count_edges(events: Events, num_steps: int) -> Int[np.ndarray, "T_and_one"]:
    """Return the index of each step's first event, ``⌊step·N / T⌋``, then the event count N."""
    return np.arange(num_steps + 1) * len(events) // num_steps


EDGES: dict[str, Callable[[Events, int], Int[np.ndarray, "T_and_one"]]] = {"time": time_edges, "count": count_edges}


def _cells(events: Events, binning: Binning) -> Integer[np.ndarray, " N"]:
    rows = np.arange(events.height) * binning.height // events.height * binning.width
    columns = np.arange(events.width) * binning.width // events.width
    planes = np.arange(2) * (binning.height * binning.width)
    cells: np.ndarray
    if 2 * events.height * events.width > LARGEST_TABLE:
        cells = rows[events.y] + columns[events.x] + planes[events.p]
    else:  # the same, faster
        place = events.y.astype(np.intp, casting="same_kind")
        place *= events.width
        np.add(place, events.x, out=place, dtype=np.intp)  # with uint64 the sum would be float64
        place *= 2
        np.add(place, events.p, out=place, dtype=np.intp)
        cells = (rows[:, None, None] + columns[:, None] + planes).ravel()[place]
    return cells

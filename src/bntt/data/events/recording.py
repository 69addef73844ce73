"""A recording of an event camera: time, place and direction of each change of its pixels' brightness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, Integer

from bntt.io.errors import DataError

LARGEST_SIDE = 1 << 15
LARGEST_FILE = 1 << 30
"""Largest size of one recording in bytes, more than 100 million events."""


class EventFault(ValueError):
    """Invalid event; ``event`` is its number, None if there is no event at all."""

    def __init__(self, message: str, event: int | None = None) -> None:
        super().__init__(message)
        self.event = event


@dataclass(frozen=True)
class Events:
    """Events of one recording, in order of time.

    Raises:
        EventFault: (a ValueError) if there is no event, the arrays differ in length, an event lies outside the sensor,
            has a polarity that is neither 0 nor 1, or a time earlier than the event before it.

    >>> events = Events(np.array([5, 5, 9]), np.array([0, 3, 1]), np.array([2, 0, 1]), np.array([1, 0, 1]), 3, 4)
    >>> len(events), events.duration, events[1:].t
    (3, 5, array([5, 9]))
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
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise EventFault(f"t, x, y and p must have one length, got {', '.join(str(list(s)) for s in shapes)}")
        if self.t.dtype != np.int64:
            raise EventFault(f"t must be int64 microseconds, got {self.t.dtype}")
        if not (0 < self.height <= LARGEST_SIDE and 0 < self.width <= LARGEST_SIDE):
            raise EventFault(f"a sensor has 1 to {LARGEST_SIDE} rows and columns, got {self.height} and {self.width}")
        if not len(self.t):
            raise EventFault("there is no event")
        for name, values, past in (("x", self.x, self.width), ("y", self.y, self.height), ("p", self.p, 2)):
            if values.min() < 0 or values.max() >= past:
                first = int(((values < 0) | (values >= past)).argmax())
                what = "polarity 0 or 1" if name == "p" else f"{name} from 0 to {past - 1}"
                raise EventFault(f"expected {what}, got {values[first]}", first)
        falls = self.t[1:] < self.t[:-1]
        if falls.any():
            first = int(falls.argmax()) + 1
            raise EventFault(f"time falls from {self.t[first - 1]} to {self.t[first]}", first)

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, part: slice) -> Events:
        """Return some of the events, as views."""
        return Events(self.t[part], self.x[part], self.y[part], self.p[part], self.height, self.width)

    @property
    def duration(self) -> int:
        """Microseconds from the first event to the last, inclusive: 1 if all have the same time."""
        return int(self.t[-1]) - int(self.t[0]) + 1


def recorded(path: Path, where: Callable[[int], str], make: Callable[[], Events]) -> Events:
    """Make events from a file: an error names the file and, by ``where``, the event's place in it."""
    try:
        return make()
    except EventFault as fault:
        place = "" if fault.event is None else f", {where(fault.event)}"
        raise DataError(f"{path}{place}: {fault}") from None

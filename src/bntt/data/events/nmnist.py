"""Recordings of N-MNIST and N-Caltech101 (Orchard et al. 2015): records of five bytes, nothing before or after."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bntt.data.errors import DataError
from bntt.data.events.recording import Events, bytes_of, recorded

RECORD = 5
OVERFLOW = 240
"""The row of a record that is no event, and says that the clock has overflowed."""
OVERFLOW_STEP = 1 << 13
"""Microseconds that each such record adds to all times after it."""


def read_nmnist(path: Path, *, height: int = 34, width: int = 34) -> Events:
    """The events of a ``.bin`` file: x, y, then three bytes, big-endian: bit 23 the polarity, 0-22 microseconds.

    A record with y = 240 is no event: it adds 2¹³ microseconds to all times that follow, and counts as left out.

    Args:
        height: of the sensor; N-Caltech101 has 180.
        width: of the sensor; N-Caltech101 has 240.

    Raises:
        DataError: naming file and byte, if it is missing, no whole number of records, holds no event, one lies outside
            the sensor, or time falls.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.bin"
    >>> _ = path.write_bytes(bytes([3, 5, 0x80, 1, 0]))
    >>> events = read_nmnist(path)
    >>> events.t, events.x, events.y, events.p
    (array([256]), array([3], dtype=uint8), array([5], dtype=uint8), array([1], dtype=uint8))
    """
    content = bytes_of(path)
    if len(content) % RECORD:
        raise DataError(
            f"{path} ends within an event: it has {len(content)} bytes, no multiple of {RECORD}; it is not whole"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    x, y, p = records[:, 0].copy(), records[:, 1].copy(), records[:, 2] >> 7
    t = (records[:, 2] & 127).astype(np.int64) << 16
    t |= records[:, 3].astype(np.int64) << 8
    t |= records[:, 4]
    marks = y == OVERFLOW
    places = (~marks).nonzero()[0]
    if len(places) < len(t):
        t += np.cumsum(marks) * OVERFLOW_STEP
        t, x, y, p = t[places], x[places], y[places], p[places]

    def where(event: int) -> str:
        return f"byte {RECORD * int(places[event])}, event {event}"

    return recorded(path, where, lambda: Events(t, x, y, p, height, width, int(marks.sum())))

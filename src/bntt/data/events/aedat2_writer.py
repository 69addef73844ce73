"""Recordings written as AEDAT 2.0 files of a DVS128, in the layout of CIFAR10-DVS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bntt.data.events.aedat2 import DVS128, HEADER_ENDS, VERSION
from bntt.data.events.recording import Events, beginning

SIMULATED = "# This recording is simulated: no camera made it."
"""The second line of what a simulator wrote."""
LATEST = 1 << 32
"""Microseconds that the file's clock can say."""


def aedat2_bytes(events: Events, notes: Sequence[str] = ()) -> bytes:
    """A whole file, which :func:`~bntt.data.read_aedat2` reads as these events again ("common" orientation).

    Args:
        notes: lines of the header, in ASCII, each beginning with "#".

    Raises:
        ValueError: if the sensor is no DVS128, a time is not 0 to 2³² - 1 microseconds, or a note is no such line.

    >>> one = np.array([7], np.int64)
    >>> aedat2_bytes(Events(one, one, one * 2, one * 0, 128, 128))[-8:].hex()
    '000078e300000007'
    """
    if (events.height, events.width) != (DVS128.height, DVS128.width):
        raise ValueError(f"a DVS128 has 128 rows and columns, got {events.height} and {events.width}")
    if events.t[0] < 0 or events.t[-1] >= LATEST:
        raise ValueError(f"times must be 0 to 2**32 - 1 microseconds, got {events.t[0]} to {events.t[-1]}")
    for note in notes:
        if not (note.isascii() and note.isprintable() and note.startswith("#")):
            raise ValueError(f"a note is one line of printable ASCII that begins with '#', got {note!r}")
    lines = [VERSION.decode(), *notes, HEADER_ENDS.decode(), ""]
    pairs = np.empty((len(events), 2), ">u4")
    x, y, p = (values.astype(np.uint32) for values in (events.x, events.y, events.p))
    pairs[:, 0] = (127 - x) << DVS128.y[0] | (127 - y) << DVS128.x[0] | (1 - p) << DVS128.p
    pairs[:, 1] = events.t
    return "\r\n".join(lines).encode("ascii") + pairs.tobytes()


def is_simulated(path: Path) -> bool:
    """Whether a recording says in its header that it is simulated.

    Raises:
        DataError: if it is missing or no file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.aedat"
    >>> one = np.array([7], np.int64)
    >>> _ = path.write_bytes(aedat2_bytes(Events(one, one, one, one * 0, 128, 128), [SIMULATED]))
    >>> is_simulated(path)
    True
    """
    start = VERSION + b"\r\n" + SIMULATED.encode("ascii") + b"\r\n"
    return beginning(path, len(start)) == start

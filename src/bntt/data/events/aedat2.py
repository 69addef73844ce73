"""AEDAT 2.0 as jAER has it: header lines, then pairs of big-endian words, address (iniVation's layouts) and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bntt.data.events.binning import LARGEST_FILE, Events, check_version, recorded
from bntt.io.errors import DataError
from bntt.io.files import read_file

VERSION = b"#!AER-DAT2.0"
HEADER_ENDS = b"#End Of ASCII Header"
LONGEST_HEADER = 1 << 20
"""Longest header in bytes; the preferences that jAER writes into headers have some ten thousand."""
WORDS = 8
NEIGHBOURS = 1_000_000
"""Microseconds: upper bound on the gap between successive events of a working or noisy sensor."""
NOT_TEXT = bytes(set(range(32)) - {9}) + b"\x7f"
SIMULATED = "# This recording is simulated: no camera made it."
LATEST = 1 << 32
ORIENTATIONS = ("common", "raw")
FALLING = ("refuse", "sort")


@dataclass(frozen=True)
class AddressLayout:
    """Meaning of the bits of an address; bit 0 is the lowest."""

    name: str
    height: int
    width: int
    x: tuple[int, int]
    """First bit, and number of bits."""
    y: tuple[int, int]
    p: int
    """Bit of the polarity."""
    other: int
    """Bits of addresses that are not pixel events."""
    never: int
    """Bits that are never set."""
    turned: bool
    """True if common readers turn the picture: x = width - 1 - Y, y = height - 1 - X, p = 1 - P."""


DVS128 = AddressLayout("DVS128", 128, 128, x=(1, 7), y=(8, 7), p=0, other=1 << 15, never=0xFFFF0000, turned=True)
"""Bit 0 P, 1-7 X, 8-14 Y; bit 15 is set for an edge at the camera's input."""
DAVIS346 = AddressLayout("DAVIS", 260, 346, x=(12, 10), y=(22, 9), p=11, other=1 << 31 | 1 << 10, never=0, turned=False)
"""Bit 31 is set for image samples, 22-30 Y, 12-21 X, 11 P; bit 10 is set for other words that are not pixel events."""
DAVIS240 = replace(DAVIS346, height=180, width=240)


def read_aedat2(
    path: Path, layout: AddressLayout = DVS128, *, orientation: str = "common", falling: str = "refuse"
) -> Events:
    r"""Return the events of an AEDAT 2.0 file.

    A header line begins with "#", ends with a line feed and has no control characters; the line "#End Of ASCII Header"
    ends the header. Without it, the header ends before the first line that is none, or from which on the bytes are
    whole events of this layout, less than a second apart. Times have 32 bits and wrap around after 71 minutes. Words
    that are not pixel events are skipped and counted in ``left_out``.

    Args:
        path: the file.
        layout: the meaning of the bits of an address: ``DVS128``, or a DAVIS's.
        orientation: "common": for the DVS128, what common readers of CIFAR10-DVS return, ``x = 127 - Y``,
            ``y = 127 - X`` and ``p = 1 - P``; for a DAVIS, the address unchanged. "raw": always the address unchanged.
            Not verified on a recording: which of the two is upright, and whether P = 1 means brighter.
        falling: what to do if times decrease: "refuse", or "sort" all events by time, equal times in file order.

    Raises:
        DataError: naming file and byte, if the file is missing or not AEDAT 2.0, its header does not end, it ends
            within an event, holds no event, an address does not fit the layout or the sensor, or times decrease.
        ValueError: on an unknown orientation or handling of falling times.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.aedat"
    >>> _ = path.write_bytes(b"#!AER-DAT2.0\r\n" + bytes.fromhex("00000503 0000000a"))
    >>> events = read_aedat2(path, orientation="raw")
    >>> events.t, events.x, events.y, events.p
    (array([10]), array([1], dtype=uint16), array([5], dtype=uint16), array([1], dtype=uint8))
    """
    for name, chosen, choices in (("orientation", orientation, ORIENTATIONS), ("falling", falling, FALLING)):
        if chosen not in choices:
            raise ValueError(f"{name}: choose out of {', '.join(choices)}, got {chosen!r}")
    content = read_file(path, LARGEST_FILE)
    start = header_length(path, content, layout)
    if rest := (len(content) - start) % WORDS:
        place = f"{rest} of {WORDS} bytes follow byte {len(content) - rest} (its header has {start})"
        raise DataError(f"{path} ends within an event: {place}; the file is not whole")
    pairs = np.frombuffer(content, ">u4", offset=start).reshape(-1, 2)
    address, clock = pairs[:, 0].astype(np.uint32), pairs[:, 1].astype(np.uint32)
    bits = int(np.bitwise_or.reduce(address)) if len(address) else 0
    if bits & layout.never:
        event = int(((address & layout.never) != 0).argmax())
        raise DataError(
            f"{path}, byte {start + WORDS * event}: address {address[event]:08x} is not an address of a "
            f"{layout.name}, which never has bits of {layout.never:08x}: the file has another layout, or is damaged"
        )
    words, places = len(address), ((address & layout.other) == 0).nonzero()[0] if bits & layout.other else None
    if places is not None:
        address, clock = address[places], clock[places]
    t = unwrapped(clock)
    if falling == "sort" and (t[1:] < t[:-1]).any():
        order = np.argsort(t, kind="stable")
        t, address = t[order], address[order]

    def where(event: int) -> str:
        if falling == "sort":
            return f"event {event} in order of time"
        return f"byte {start + WORDS * (event if places is None else int(places[event]))}, event {event}"

    x, y = _place(address, layout)
    p = ((address >> np.uint32(layout.p)) & np.uint32(1)).astype(np.uint8)
    if layout.turned and orientation == "common":
        x, y, p = np.uint16(layout.width - 1) - y, np.uint16(layout.height - 1) - x, np.uint8(1) - p
    return recorded(path, where, lambda: Events(t, x, y, p, layout.height, layout.width, words - len(t)))


def _place(address: np.ndarray, layout: AddressLayout) -> tuple[np.ndarray, np.ndarray]:
    x, y = (
        ((address >> np.uint32(first)) & np.uint32((1 << count) - 1)).astype(np.uint16)
        for first, count in (layout.x, layout.y)
    )
    return x, y


def unwrapped(clock: np.ndarray) -> np.ndarray:
    """Unwrap a 32-bit clock to int64 times: every difference is taken from -2³¹ to 2³¹ - 1."""
    t = clock.astype(np.int64)
    steps = (clock[1:] - clock[:-1]).view(np.int32)
    if len(t) and t[0] + steps.sum(dtype=np.int64) == t[-1] and (not len(steps) or steps.min() >= 0):
        return t  # nothing wraps
    np.cumsum(steps, dtype=np.int64, out=t[1:])
    t[1:] += t[:1]
    return t


def header_length(path: Path, content: bytes, layout: AddressLayout = DAVIS346) -> int:
    """Count the bytes of an AEDAT 2.0 file before its first event, as :func:`read_aedat2` defines."""
    check_version(path, content, VERSION)
    place, ends = 0, list[int]()
    while content[place : place + 1] == b"#":
        if place > LONGEST_HEADER:
            raise DataError(f"{path}, byte {place}: its header has more than {LONGEST_HEADER} bytes and does not end")
        end = content.find(b"\n", place, place + LONGEST_HEADER)
        line = content[place : end if end >= 0 else place + LONGEST_HEADER].rstrip(b"\r")
        if len(line.translate(None, NOT_TEXT)) < len(line):
            break  # events, whose first byte is that of "#"
        if end < 0:
            if (first := _among_lines(content, ends, len(content), layout)) is None:
                raise DataError(f"{path}, byte {place}: its header has a line that does not end")
            return first
        place = end + 1
        if line.startswith(HEADER_ENDS):
            return place
        ends.append(place)
    first = _among_lines(content, ends, place, layout)
    return place if first is None else first


def _among_lines(content: bytes, ends: Sequence[int], last: int, layout: AddressLayout) -> int | None:
    """Find the end of a header whose apparent further lines, up to ``last``, are events instead."""
    return next((place for place in ends if place < last and _are_events(content, place, last, layout)), None)


def _are_events(content: bytes, place: int, last: int, layout: AddressLayout) -> bool:
    """Return True if the bytes at ``place`` can be events: those up to ``last``, and the next one if it exists."""
    if (len(content) - place) % WORDS:
        return False
    whole = content[place : last + 2 * WORDS]
    pairs = np.frombuffer(whole[: len(whole) // WORDS * WORDS], ">u4").reshape(-1, 2).astype(np.uint32)
    address, steps = pairs[:, 0], np.diff(pairs[:, 1]).view(np.int32)
    x, y = _place(address, layout)
    known = (x < layout.width) & (y < layout.height) | ((address & layout.other) != 0)
    return bool(
        (known & ((address & layout.never) == 0)).all() and ((steps < NEIGHBOURS) & (steps > -NEIGHBOURS)).all()
    )


def aedat2_bytes(events: Events, notes: Sequence[str] = ()) -> bytes:
    """Make the bytes of a file from which :func:`~bntt.data.read_aedat2` reads these events ("common" orientation)."""
    if (events.height, events.width) != (DVS128.height, DVS128.width) or not 0 <= events.t[0] <= events.t[-1] < LATEST:
        raise ValueError(
            f"a DVS128 has 128 rows and columns, and times of 0 to 2**32 - 1 microseconds, got {events.height} and "
            f"{events.width}, {events.t[0]} to {events.t[-1]}"
        )
    lines = [VERSION.decode(), *notes, HEADER_ENDS.decode(), ""]
    pairs = np.empty((len(events), 2), ">u4")
    x, y, p = (values.astype(np.uint32) for values in (events.x, events.y, events.p))
    pairs[:, 0] = (127 - x) << DVS128.y[0] | (127 - y) << DVS128.x[0] | (1 - p) << DVS128.p
    pairs[:, 1] = events.t
    return "\r\n".join(lines).encode("ascii") + pairs.tobytes()


def is_simulated(path: Path, notes: Sequence[str] = (SIMULATED,)) -> bool:
    """Return True if a recording's header declares it simulated, or begins with all of these notes."""
    start = "\r\n".join([VERSION.decode(), *notes, ""]).encode("ascii")
    with path.open("rb") as file:
        return file.read(len(start)) == start

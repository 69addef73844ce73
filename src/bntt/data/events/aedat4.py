"""AEDAT 4, as iniVation's DV writes it, read by ``aedat`` after a check: a damaged file could end the process."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from bntt.data.events.binning import LARGEST_FILE, Events, check_version, recorded
from bntt.io.errors import DataError, refusing
from bntt.io.files import read_file

VERSION = b"#!AER-DAT4.0\r\n"
LARGEST_PACKETS = 1 << 30
EVENT = 16


def read_aedat4(path: Path) -> Events:
    """Return the events of an AEDAT 4 file with one stream of events; the file names the sensor's size.

    Args:
        path: of the file.

    Raises:
        DataError: naming the file (and event), if the file is missing, not AEDAT 4 or damaged, has no or several event
            streams, holds no event, an event lies outside the sensor, or times decrease; or if ``aedat`` is missing.

    >>> read_aedat4(Path("none.aedat4"))
    Traceback (most recent call last):
    bntt.io.errors.DataError: none.aedat4 does not exist
    """
    try:
        import aedat
    except ImportError:
        raise DataError(f'{path}: AEDAT 4 is read with the package aedat: pip install "bntt[events]"') from None
    content = read_file(path, LARGEST_FILE)
    check_version(path, content, VERSION)
    with refusing(f"{path} is damaged"):
        _check_container(memoryview(content))
    packets, size = [np.empty(0, [("t", "u8"), ("x", "u2"), ("y", "u2"), ("on", "?")])], 0
    with refusing(f"{path} is damaged, aedat says"):
        try:
            decoder = aedat.Decoder(str(path))
            streams = [facts for facts in decoder.id_to_stream().values() if facts["type"] == "events"]
            if len(streams) != 1:
                raise DataError(f"{path} has {len(streams)} streams of events, expected one")
            for packet in decoder:
                packets += [packet["events"]] if "events" in packet else []
                size += EVENT * len(packet.get("events", ()))
                if size > LARGEST_PACKETS:
                    raise DataError(f"{path} has more than {LARGEST_PACKETS} bytes of events: cut it into parts")
        except BaseException as error:  # a panic in its Rust code is not an Exception
            if type(error).__name__ != "PanicException":
                raise
            raise DataError(f"{path} is damaged, aedat says: {error}") from None
    rows = np.concatenate(packets[1:] or packets)
    t, x, y = rows["t"].astype(np.int64), rows["x"].copy(), rows["y"].copy()
    p, sensor = rows["on"].astype(np.uint8), (streams[0]["height"], streams[0]["width"])
    return recorded(path, lambda event: f"event {event}", lambda: Events(t, x, y, p, *sensor))


def _check_container(content: memoryview) -> None:
    """Check header and all packets' sizes: ``<stream> <size> <bytes>``, to the table of packets or the end."""
    place = len(VERSION) + 4
    (size,) = struct.unpack_from("<I", content, len(VERSION))
    text, table = _header(_part(content, place, size))
    if "\0" in text.decode("utf-8"):
        raise ValueError("a NUL in its text")
    place, end = place + size, len(content) if table < 0 else table
    _part(content, place, end - place)
    while place < end:
        (size,) = struct.unpack("<4xi", _part(content[:end], place, 8))
        place += 8 + len(_part(content[:end], place + 8, size))


def _part(content: memoryview, place: int, size: int) -> memoryview:
    """Return the ``size`` bytes at ``place``."""
    if not 0 <= place <= place + size <= len(content):
        raise ValueError(f"{size} bytes are announced at byte {place} of {len(content)}: the file is not whole")
    return content[place : place + size]


def _header(header: memoryview) -> tuple[bytes, int]:
    """Read the description (XML) and the table's place from the header's flatbuffer; -1 if it names none."""
    (root,) = struct.unpack_from("<I", header)
    fields = root - struct.unpack_from("<i", header, root)[0]
    (length,) = struct.unpack("<H", _part(header, fields, 2))
    offsets = struct.unpack_from(f"<{max(0, length - 4) // 2}H", header, fields + 4)
    _, table, text = (*offsets[:3], 0, 0, 0)[:3]
    (position,) = struct.unpack_from("<q", header, root + table) if table else (-1,)
    if not text:
        raise ValueError("no description")
    start = root + text + struct.unpack_from("<I", header, root + text)[0]
    (size,) = struct.unpack_from("<I", header, start)
    return bytes(_part(header, start + 4, size)), position

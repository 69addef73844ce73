"""AEDAT 4, as iniVation's DV writes it, read by ``aedat`` after a check: a damaged file could end the process."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from bntt.data.events.binning import LARGEST_FILE, Events, recorded
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
    _check_container(path, read_file(path, LARGEST_FILE))
    try:
        decoder = aedat.Decoder(str(path))
        streams = {name: facts for name, facts in decoder.id_to_stream().items() if facts["type"] == "events"}
        packets, size = [], 0
        for packet in decoder if len(streams) == 1 else ():
            size += EVENT * len(packet.get("events", ()))
            if size > LARGEST_PACKETS:
                raise DataError(f"{path} has more than {LARGEST_PACKETS} bytes of events: cut the recording into parts")
            packets += [packet["events"]] if "events" in packet else []
    except (DataError, MemoryError):
        raise
    except BaseException as error:  # a panic in its Rust code is not an Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise DataError(f"{path} is damaged, aedat says: {error}") from None
    if len(streams) != 1:
        raise DataError(f"{path} has {len(streams)} streams of events, expected one")
    (facts,) = streams.values()
    rows = np.concatenate(packets) if packets else np.empty(0, [("t", "u8"), ("x", "u2"), ("y", "u2"), ("on", "?")])
    t, x, y = rows["t"].astype(np.int64), rows["x"].copy(), rows["y"].copy()
    p = rows["on"].astype(np.uint8)
    sensor = facts["height"], facts["width"]
    return recorded(path, lambda event: f"event {event}", lambda: Events(t, x, y, p, *sensor))


def _check_container(path: Path, content: bytes) -> None:
    """Check version, header and all packets' sizes: ``<stream> <size> <bytes>``, to the table of packets or the end."""
    if not content.startswith(VERSION):
        begins = content[:16].split(b"\n")[0].rstrip().decode("ascii", "backslashreplace")
        raise DataError(f"{path} begins with {begins!r}, an AEDAT 4 file with {VERSION.decode().strip()!r}")
    with refusing(f"{path}: its header is damaged", struct.error, UnicodeDecodeError):
        (size,) = struct.unpack_from("<I", content, len(VERSION))
        place = len(VERSION) + 4 + size
        if place > len(content):
            raise DataError(f"{path}, byte {len(VERSION)}: its header announces {size} bytes, more than the file has")
        text, table = _header(content[len(VERSION) + 4 : place])
        if "\0" in text.decode("utf-8"):
            raise struct.error("a NUL in its text")
    end = len(content) if table < 0 else table
    if not place <= end <= len(content):
        raise DataError(f"{path}: its header places a table at byte {table}, the file has {len(content)} bytes")
    while place < end:
        if place + 8 > end:
            raise DataError(f"{path}, byte {place}: ends within a packet; the file is not whole")
        _, size = struct.unpack_from("<ii", content, place)
        if size < 0 or place + 8 + size > end:
            raise DataError(f"{path}, byte {place}: a packet announces {size} bytes; the file is not whole")
        place += 8 + size


def _header(header: bytes) -> tuple[bytes, int]:
    """Read the description (XML) and the table's place from the header's flatbuffer; -1 if it names none."""
    (root,) = struct.unpack_from("<I", header)
    fields = root - struct.unpack_from("<i", header, root)[0]
    if not 0 <= fields <= len(header):
        raise struct.error(f"fields at byte {fields} of {len(header)}")
    (length,) = struct.unpack_from("<H", header, fields)
    offsets = struct.unpack_from(f"<{max(0, length - 4) // 2}H", header, fields + 4)
    _, table, text = (*offsets[:3], 0, 0, 0)[:3]
    (position,) = struct.unpack_from("<q", header, root + table) if table else (-1,)
    if not text:
        raise struct.error("no description")
    start = root + text + struct.unpack_from("<I", header, root + text)[0]
    (size,) = struct.unpack_from("<I", header, start)
    if start + 4 + size > len(header):
        raise struct.error(f"a description of {size} bytes in {len(header)}")
    return header[start + 4 : start + 4 + size], position

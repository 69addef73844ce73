"""AEDAT 4 files made by hand, from the published schemas of its flatbuffers: a header, and packets of events."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

VERSION = b"#!AER-DAT4.0\r\n"
STREAM = b"""<node name="%d" path=""><attr key="compression" type="string">NONE</attr>
<attr key="typeIdentifier" type="string">EVTS</attr><node name="info" path=""><attr key="sizeX" type="int">%d</attr>
<attr key="sizeY" type="int">%d</attr></node></node>"""
LZ4 = b"\x04\x22\x4d\x18\x40\x40\xc0"
"""Magic number, flags, size of blocks and the sum of these two."""


def container(text: bytes = b"<dv></dv>", table: int = -1, packets: bytes = b"", *, lz4: bool = False) -> bytes:
    """Version; size and flatbuffer of the header: root, fields, offsets of compression, table and text; packets."""
    fields = struct.pack("<HHHHH", 10, 20, 4, 12, 8)
    root = struct.pack(
        "<iiIq", 10, int(lz4), 12, table
    )  # at byte 14: back to the fields; text begins 20 bytes further on
    header = struct.pack("<I", 14) + fields + root + struct.pack("<I", len(text)) + text
    return VERSION + struct.pack("<I", len(header)) + header + packets


def description(count: int = 1, height: int = 3, width: int = 4) -> bytes:
    """The text of a header with so many streams of events."""
    streams = b"".join(STREAM % (number, width, height) for number in range(count))
    return b'<dv version="2.0"><node name="outInfo" path="">' + streams + b"</node></dv>"


def packet(events: Iterable[tuple[int, int, int, int]], *, lz4: bool = False) -> bytes:
    """A packet of stream 0: t, x, y and p of each event, packed as blocks that are stored as they are."""
    rows = b"".join(struct.pack("<qhhB3x", *event) for event in events)
    table = struct.pack("<I4s4H", 16, b"EVTS", 0, 6, 8, 4)  # its root at byte 16; the fields, 8 bytes, at byte 10
    table += struct.pack("<iIII", 6, 8, 0, len(rows) // 16) + rows  # back to the fields; the events 8 bytes further on
    content = struct.pack("<I", len(table)) + table
    if lz4:
        content = LZ4 + struct.pack("<I", len(content) | 1 << 31) + content + bytes(4)
    return struct.pack("<ii", 0, len(content)) + content


def recording(seed: int, count: int = 60, *, height: int = 3, width: int = 4, lz4: bool = False) -> bytes:
    """A whole file, its events in two packets."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 9000, count))
    rows = list(zip(t, *(rng.integers(0, past, count) for past in (width, height, 2)), strict=True))
    packets = b"".join(packet(part, lz4=lz4) for part in (rows[: count // 2], rows[count // 2 :]))
    return container(description(1, height, width), packets=packets, lz4=lz4)

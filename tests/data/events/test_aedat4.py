"""AEDAT 4: what is around the packets, and the real recording."""

import os
import struct
import sys
from pathlib import Path

import pytest

from bntt.data.events.formats import read_aedat4
from bntt.io.errors import DataError
from tests.data.events.aedat4_files import VERSION, container, description, packet
from tests.rows import each_row


def read(tmp_path, content):
    path = tmp_path / "one.aedat4"
    path.write_bytes(content)
    return read_aedat4(path)


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(DataError, match=r'AEDAT 4 is read with the package aedat: pip install "bntt\[events\]"'):
        read(tmp_path, VERSION)


HEAD = len(container())


@each_row(
    ("content", "message"),
    [
        (b"", "begins with '', an AEDAT 4.0 file with '#!AER-DAT4.0'"),
        (b"#!AER-DAT2.0\r\n", "begins with '#!AER-DAT2.0', an AEDAT 4.0 file"),
        (VERSION, "is damaged: unpack_from requires"),
        (VERSION + b"\xff\xff\xff\xff", "4294967295 bytes are announced at byte 18 of 18"),
        (container()[:-1], "47 bytes are announced at byte 18 of 64"),
        (VERSION + struct.pack("<I", 8) + b"\xff" * 8, "is damaged: unpack_from requires"),
        (VERSION + struct.pack("<II", 8, 4) + struct.pack("<i", 99), "at byte -95 of 8"),
        (container(text=b"<dv>\xff"), "is damaged: .*utf-8"),
        (container(text=b"<dv>\0"), "a NUL in its text"),
        (container(table=1 << 40), f"{(1 << 40) - HEAD} bytes are announced at byte {HEAD} of"),
        (container(table=3), f"{3 - HEAD} bytes are announced"),
        (container(packets=b"\0" * 7), f"8 bytes are announced at byte {HEAD} of {HEAD + 7}: the file is not whole"),
        (container(packets=struct.pack("<ii", 0, 9) + b"12345678"), f"9 bytes are announced at byte {HEAD + 8} of"),
        (container(packets=struct.pack("<ii", 0, -1)), f"-1 bytes are announced at byte {HEAD + 8}"),
        (container(packets=struct.pack("<ii", 0, 0) * 2 + b"1"), f"8 bytes are announced at byte {HEAD + 16}"),
    ],
)
def test_what_is_around_the_packets(content, message, tmp_path):
    pytest.importorskip("aedat")
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_a_description_that_is_none(tmp_path):
    pytest.importorskip("aedat")
    with pytest.raises(DataError, match=r"one.aedat4 is damaged, aedat says: .+"):
        read(tmp_path, container(text=b"<dv>"))


@each_row(("count", "message"), [(2, "has 2 streams of events, expected one"), (1, "there is no event")])
def test_streams_of_events(count, message, tmp_path):
    pytest.importorskip("aedat")
    with pytest.raises(DataError, match=message):
        read(tmp_path, container(description(count)))


EVENTS = [(1, 0, 2, 1), (2, 3, 0, 0), (5, 1, 1, 1)]


@each_row("lz4", [False, True])
def test_events_of_a_file_made_by_hand(lz4, tmp_path):
    pytest.importorskip("aedat")
    packets = packet(EVENTS[:2], lz4=lz4) + packet(EVENTS[2:], lz4=lz4)
    found = read(tmp_path, container(description(), packets=packets, lz4=lz4))
    assert list(zip(found.t, found.x, found.y, found.p, strict=True)) == EVENTS
    assert (found.height, found.width) == (3, 4)


@each_row(
    ("events", "message"),
    [
        ([(1, 4, 0, 1)], "event 0: expected x from 0 to 3, got 4"),
        ([(1, 0, 0, 1), (1, 0, 3, 1)], "event 1: expected y from 0 to 2, got 3"),
        ([(5, 0, 0, 1), (4, 0, 0, 1)], "event 1: time falls from 5 to 4"),
    ],
)
def test_events_that_cannot_be(events, message, tmp_path):
    pytest.importorskip("aedat")
    with pytest.raises(DataError, match=message):
        read(tmp_path, container(description(), packets=packet(events)))


@pytest.mark.data
def test_the_real_recording(tmp_path):
    pytest.importorskip("aedat")
    path = Path(os.environ.get("BNTT_TEST_DATA", "/nonexistent")) / "events" / "tonic_sample.aedat4"
    if not path.is_file():
        pytest.skip("BNTT_TEST_DATA names no folder with events/tonic_sample.aedat4")
    events = read_aedat4(path)
    assert (len(events), events.height, events.width) == (111_954, 240, 320)
    assert (events.t[0], events.duration) == (1605537493718345, 589_918)
    with pytest.raises(DataError, match="the file is not whole"):
        read(tmp_path, path.read_bytes()[:400_000])

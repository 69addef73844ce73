"""AEDAT 4: what is around the packets, their events, and the real recording."""

import struct
import sys

import pytest

from bntt.data.events.formats import read_aedat4
from bntt.io.errors import DataError
from tests.data.events.aedat4_files import VERSION, container, description, packet
from tests.fakes import real
from tests.rows import each_row


def read(tmp_path, content):
    path = tmp_path / "one.aedat4"
    path.write_bytes(content)
    return read_aedat4(path)


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(DataError, match=r"bntt\[events\]"):
        read(tmp_path, VERSION)


HEAD = len(container())


def holding(*events):
    return container(description(), packets=packet(events))


@each_row(
    ("content", "named"),
    [
        (b"", "begins with ''"),
        (b"#!AER-DAT2.0\r\n", "#!AER-DAT2.0"),
        (VERSION, "unpack_from"),
        (VERSION + b"\xff\xff\xff\xff", "4294967295 bytes .* byte 18 of 18"),
        (container()[:-1], "47 bytes .* byte 18 of 64"),
        (VERSION + struct.pack("<I", 8) + b"\xff" * 8, "unpack_from"),
        (VERSION + struct.pack("<II", 8, 4) + struct.pack("<i", 99), "byte -95 of 8"),
        (container(text=b"<dv>\xff"), "utf-8"),
        (container(text=b"<dv>\0"), "NUL"),
        (container(text=b"<dv>"), "aedat says"),
        (container(table=1 << 40), f"{(1 << 40) - HEAD} bytes .* byte {HEAD} of"),
        (container(table=3), f"{3 - HEAD} bytes"),
        (container(packets=b"\0" * 7), f"8 bytes .* byte {HEAD} of {HEAD + 7}"),
        (container(packets=struct.pack("<ii", 0, 9) + b"12345678"), f"9 bytes .* byte {HEAD + 8} of"),
        (container(packets=struct.pack("<ii", 0, -1)), f"-1 bytes .* byte {HEAD + 8}"),
        (container(packets=struct.pack("<ii", 0, 0) * 2 + b"1"), f"8 bytes .* byte {HEAD + 16}"),
        (container(description(2)), "2 streams"),
        (container(description(1)), "no event"),
        (holding((1, 0, 0, 1), (1, 0, 3, 1)), "event 1: .* y .*2, got 3"),
    ],
)
def test_what_is_damaged_is_named(content, named, tmp_path):
    pytest.importorskip("aedat")
    with pytest.raises(DataError, match=rf"one\.aedat4.*{named}"):
        read(tmp_path, content)


EVENTS = [(1, 0, 2, 1), (2, 3, 0, 0), (5, 1, 1, 1)]


@each_row("lz4", [False, True])
def test_events_of_a_file_made_by_hand(lz4, tmp_path):
    pytest.importorskip("aedat")
    packets = packet(EVENTS[:2], lz4=lz4) + packet(EVENTS[2:], lz4=lz4)
    found = read(tmp_path, container(description(), packets=packets, lz4=lz4))
    assert list(zip(found.t, found.x, found.y, found.p, strict=True)) == EVENTS
    assert (found.height, found.width) == (3, 4)


@pytest.mark.data
def test_the_real_recording(tmp_path):
    pytest.importorskip("aedat")
    events = read_aedat4(path := real("events/tonic_sample.aedat4"))
    assert (len(events), events.height, events.width) == (111_954, 240, 320)
    assert (events.t[0], events.duration) == (1605537493718345, 589_918)
    with pytest.raises(DataError, match="not whole"):
        read(tmp_path, path.read_bytes()[:400_000])

"""AEDAT 4: what is around the packets, and the real recording."""

import os
import struct
import sys
from pathlib import Path

import pytest

from bntt.data.aedat4 import read_aedat4
from bntt.data.errors import DataError

VERSION = b"#!AER-DAT4.0\r\n"


def container(text=b"<dv></dv>", table=-1, packets=b""):
    """Version; size and flatbuffer of the header: root, fields, offsets of compression, table and text; packets."""
    fields = struct.pack("<HHHHH", 10, 20, 0, 12, 8)
    root = struct.pack("<iiIq", 10, 0, 12, table)  # at byte 14: back to the fields; text begins 20 bytes further on
    header = struct.pack("<I", 14) + fields + root + struct.pack("<I", len(text)) + text
    return VERSION + struct.pack("<I", len(header)) + header + packets


def read(tmp_path, content):
    path = tmp_path / "one.aedat4"
    path.write_bytes(content)
    return read_aedat4(path)


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(DataError, match=r'AEDAT 4 is read with the package aedat: pip install "bntt\[events\]"'):
        read(tmp_path, VERSION)


HEAD = len(container())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with '', an AEDAT 4 file with '#!AER-DAT4.0'"),
        (b"#!AER-DAT2.0\r\n", "begins with '#!AER-DAT2.0', an AEDAT 4 file"),
        (VERSION, "its header is damaged"),
        (VERSION + b"\xff\xff\xff\xff", "byte 14: its header announces 4294967295 bytes, more than the file has"),
        (container()[:-1], "byte 14: its header announces 47 bytes, more than the file has"),
        (VERSION + struct.pack("<I", 8) + b"\xff" * 8, "its header is damaged"),
        (VERSION + struct.pack("<II", 8, 4) + struct.pack("<i", 99), "fields at byte -95 of 8"),
        (container(text=b"<dv>\xff"), "its header is damaged .*utf-8"),
        (container(text=b"<dv>\0"), "a NUL in its text"),
        (container(table=1 << 40), "places a table at byte 1099511627776, the file has"),
        (container(table=3), "places a table at byte 3"),
        (container(packets=b"\0" * 7), f"byte {HEAD}: ends within a packet; the file is not whole"),
        (container(packets=struct.pack("<ii", 0, 9) + b"12345678"), f"byte {HEAD}: a packet announces 9 bytes"),
        (container(packets=struct.pack("<ii", 0, -1)), f"byte {HEAD}: a packet announces -1 bytes"),
        (container(packets=struct.pack("<ii", 0, 0) * 2 + b"1"), f"byte {HEAD + 16}: ends within a packet"),
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


STREAM = b"""<node name="%d" path=""><attr key="compression" type="string">NONE</attr>
<attr key="typeIdentifier" type="string">EVTS</attr><node name="info" path=""><attr key="sizeX" type="int">4</attr>
<attr key="sizeY" type="int">3</attr></node></node>"""


@pytest.mark.parametrize(("count", "message"), [(2, "has 2 streams of events, expected one"), (1, "there is no event")])
def test_streams_of_events(count, message, tmp_path):
    pytest.importorskip("aedat")
    streams = b"".join(STREAM % number for number in range(count))
    text = b'<dv version="2.0"><node name="outInfo" path="">' + streams + b"</node></dv>"
    with pytest.raises(DataError, match=message):
        read(tmp_path, container(text=text))


@pytest.mark.data
def test_the_real_recording(tmp_path):
    pytest.importorskip("aedat")
    path = Path(os.environ.get("BNTT_TEST_DATA", "/nonexistent")) / "events" / "tonic_sample.aedat4"
    if not path.is_file():
        pytest.skip("BNTT_TEST_DATA names no folder with events/tonic_sample.aedat4")
    events = read_aedat4(path)
    assert (len(events), events.height, events.width) == (111_954, 240, 320)
    assert (events.t[0], events.duration) == (1605537493718345, 589_918)
    with pytest.raises(DataError, match=r"the file is not whole|more than the file has|places a table"):
        read(tmp_path, path.read_bytes()[:400_000])

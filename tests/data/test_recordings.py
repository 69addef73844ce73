"""Recordings in every format: bytes written out by hand are read, damaged ones refused by name."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bntt.data.events import formats
from bntt.data.events.binning import Binning, Events, to_frames
from bntt.data.events.formats import (
    DAVIS240,
    DAVIS346,
    DVS128,
    SIMULATED,
    aedat2_bytes,
    header_length,
    is_simulated,
    read_aedat2,
    read_aedat4,
    read_event_archive,
    read_nmnist,
    unwrapped,
)
from bntt.io.errors import DataError
from tests.data.aedat4_files import VERSION, container, description, packet
from tests.fakes import real
from tests.robustness.changes import changed
from tests.rows import each_row

Read = Callable[[Path], Events]
VERSION_2 = b"#!AER-DAT2.0\r\n"
WORD = bytes.fromhex("00000102 00000005")
davis = partial(read_aedat2, layout=DAVIS346)
small_davis = partial(read_aedat2, layout=DAVIS240)
read_archive = partial(read_event_archive, height=3, width=4)


def words(text: str) -> bytes:
    return VERSION_2 + bytes.fromhex(text)


DAMAGED_2: list[tuple[Read, bytes, str]] = [
    (read_aedat2, b"", "begins with ''"),
    (read_aedat2, WORD * 9, r"begins with '\\x00\\x00\\x01\\x02"),
    (read_aedat2, b"# DVS128\r\n" + WORD, "# DVS128"),
    (read_aedat2, b"#!AER-DAT1.0\r\n" + WORD, "DAT1.0"),
    (read_aedat2, b"#!AER-DAT4.0\r\n", "DAT4.0"),
    (read_aedat2, VERSION_2[:7], "#!AER-D"),
    (read_aedat2, VERSION_2.strip(), "header"),
    (read_aedat2, VERSION_2 + b"# abc", "header"),
    (read_aedat2, VERSION_2 + b"#" * (1 << 21), "header"),
    (read_aedat2, VERSION_2 + b"# a line\n" * (1 << 18), "header"),
    (read_aedat2, VERSION_2, "no event"),
    (read_aedat2, VERSION_2 + b"#End Of ASCII Header\r\n", "no event"),
    (read_aedat2, VERSION_2 + b"\0", rf"1 of 8 bytes follow byte {len(VERSION_2)} \(its header has {len(VERSION_2)}\)"),
    (read_aedat2, VERSION_2 + WORD + WORD[:7], f"7 of 8 bytes follow byte {len(VERSION_2) + 8}"),
    (read_aedat2, VERSION_2 + WORD + bytes.fromhex("00000102 00000004"), "event 1: time .* 5 to 4"),
    (read_aedat2, VERSION_2 + WORD + bytes.fromhex("00000102 80000005"), "event 1: time .* 5 to -2147483643"),
    (read_aedat2, words("00000000 ffffffff 00000000 00000000 00000000 fffffff0"), "event 2: time .* 4294967296 to"),
    (read_aedat2, VERSION_2 + WORD + bytes.fromhex("00010000 00000006"), "address 00010000 .*DVS128"),  # has no bit 16
    (read_aedat2, words("02010000 05000000"), "address 02010000"),  # little-endian
    (read_aedat2, words("00159000 00000006"), "address 00159000"),  # of a DAVIS
    (read_aedat2, words("00008000 00000006"), "no event"),  # triggers alone
    (davis, words(4 * "80159000 00000006"), "no event"),  # images alone
    (davis, words("0015a000 00000006"), "event 0: .* x .*345, got 346"),
    (davis, words("41000000 00000006"), "event 0: .* y .*259, got 260"),
    (small_davis, words("00159000 00000006"), "x .*239, got 345"),
    (small_davis, words("80000000 00000005 00001000 00000005 000f0000 00000006"), "event 1: .* x .* got 240"),
]
DAMAGED_NMNIST: list[tuple[Read, bytes, str]] = [
    (read_nmnist, bytes.fromhex(content), match)
    for content, match in (
        ("", "no event"),
        ("00", "1 bytes"),
        ("0102800005 0304", "7 bytes"),
        ("2202800005", "event 0: .* x .*33, got 34"),
        ("0102800005 0122800005", "event 1: .* y .*33, got 34"),
        ("01f1800005", "y .* got 241"),
        ("00f0000000" * 3, "no event"),  # overflows alone
        ("0102800005 0102800004", "event 1: time .* 5 to 4"),
        ("01027fffff 00f0000000 0102000000", "event 1: time"),  # beyond an overflow
    )
]


def saved(**changes: object) -> bytes:
    content = io.BytesIO()
    arrays = {"t": [3, 3, 8], "x": [0, 3, 1], "y": [2, 0, 1], "p": [0, 1, 1], **changes}
    np.savez(content, **{name: np.asarray(values) for name, values in arrays.items() if values is not None})
    return content.getvalue()


def array(kind: str, shape: str, values: bytes, version: bytes = b"\1\0") -> bytes:
    """An ``.npy`` file whose header says this."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + values


def zipped(t: bytes = array("<i8", "(3,)", bytes(24)), packing: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of which the first array has these bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as file:
        file.writestr("t.npy", t)
        for name in "xyp":
            file.writestr(f"{name}.npy", array("<i8", "(3,)", bytes(24)))
    return content.getvalue()


def announcing(shape: str) -> bytes:
    return zipped(array("<i8", shape, bytes(24)))


def patched(*changes: tuple[int, int], local: tuple[tuple[int, int], ...] = ()) -> bytes:
    """An archive with other bytes: in the entry of ``t`` in the directory, and behind the start."""
    content = bytearray(zipped())
    for place, value in [(content.index(b"PK\1\2") + at, value) for at, value in changes] + list(local):
        content[place] = value
    return bytes(content)


def lone(values: list[int]) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


VALUE_OF_T = 30 + 5 + 128
"""Behind the member's header and name and the array's header."""
DAMAGED_ARCHIVE: list[tuple[Read, bytes, str]] = [
    (read_archive, b"", "t, x, y and p"),
    (read_archive, b"t,x,y,p\n1,2,3,4\n", "npz"),
    (read_archive, lone([1, 2]), "npz"),
    (read_archive, b"cposix\nsystem\n(S'touch canary'\ntR.", "npz"),
    (read_archive, b"PK\5\6" + bytes(18), "'t.npy'"),
    (read_archive, saved(t=None), "'t.npy'"),
    (read_archive, saved(p=None), "'p.npy'"),
    (read_archive, saved()[:-30], "npz"),
    (read_archive, patched(local=((VALUE_OF_T, 1),)), "CRC"),
    (read_archive, saved(t=[3.0, float("nan"), 8.0]), "'t' is float64"),
    (read_archive, saved(t=np.array([3, 3, 8], "M8[us]")), "'t' is datetime64"),
    (read_archive, saved(t=np.zeros(3, [("t", "i8")])), "'t' is "),
    (read_archive, saved(x=np.array([0, {}, 1], object)), "'x' is object"),
    (read_archive, zipped(array("|O", "(3,)", b"cposix\nsystem\n.")), "'t' is object"),  # with a pickle in it
    (read_archive, patched((8, 1), local=((6, 1),)), "'t.npy'.* encrypted"),
    (read_archive, patched((10, 99)), "compression"),
    (read_archive, patched((24, 0x98 ^ 0x40), (26, 0xFF)), "bytes are announced"),
    (read_archive, saved(t=[False, True, True]), "'t' is bool"),
    (read_archive, saved(x=["0", "3", "1"]), "'x' is <U1"),
    (read_archive, saved(y=[[2, 0, 1]]), r"'y' .*\(1, 3\)"),
    (read_archive, saved(y=2), r"'y' .*\(\)"),
    (read_archive, saved(p=[0, 1]), r"\(3,\), \(2,\)"),
    (read_archive, saved(**{name: np.zeros(0, int) for name in "txyp"}), "no event"),
    (read_archive, saved(x=[0, 3, 4]), "event 2: .* x .*3, got 4"),
    (read_archive, saved(p=np.array([0, 2, 1], "u8")), "event 1: .* polarity .*got 2"),
    (read_archive, saved(t=[3, 8, 7]), "event 2: time .* 8 to 7"),
    (read_archive, saved(t=np.array([0, 1, 2**63], "u8")), "t must lie within"),
    (read_archive, zipped(b"x" * 200), "magic"),
    (read_archive, zipped(array("<i8", "(3,)", bytes(24), b"\3\0")), r"format \(3, 0\)"),
    (read_archive, announcing("(1000000000000,)"), r"'t' .*\(1000000000000,\)"),
    (read_archive, announcing("(4,)"), r"'t' .*\(4,\)"),
    (read_archive, announcing("(2,)"), r"'t' .*\(2,\)"),
    (read_archive, announcing("(-3,)"), r"'t' .*\(-3,\)"),
    (read_archive, announcing("print(3)"), "npz"),
]
TIMES = [b"\0\0%c%c" % (i, i) for i in range(60)]
SEEDS: dict[str, tuple[Read, bytes]] = {
    "dvs128": (read_aedat2, VERSION_2 + b"# a line\r\n" + b"".join(b"\0\0%c\3" % i + TIMES[i] for i in range(60))),
    "davis": (davis, VERSION_2 + b"".join(b"%c\x10\0\0" % (35 + i % 2) + TIMES[i] for i in range(60))),
    "nmnist": (read_nmnist, b"".join(b"%c%c\x80%c\0" % (i % 34, i % 34, i) for i in range(60)) + b"\0\xf0\0\0\0"),
    "npz": (read_archive, saved()),
    "npz packed": (read_archive, zipped(packing=zipfile.ZIP_DEFLATED)),
}
"""Whole recordings and their readers, to be changed at random, more often by ``python -m tests.robustness files``."""


HEADER_2 = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"


def write_aedat2(tmp_path, payload, header=HEADER_2):
    path = tmp_path / "one.aedat"
    path.write_bytes(header + bytes.fromhex(payload))
    return path


def columns(events):
    return [list(row) for row in zip(*(getattr(events, n).tolist() for n in "txyp"), strict=True)]


@each_row(
    ("words", "raw"),
    [
        ("00000000 00000000", (0, 0, 0, 0)),
        ("00000001 00000001", (1, 0, 0, 1)),  # bit 0: P
        ("00000002 00000100", (256, 1, 0, 0)),  # bits 1-7: X
        ("000000fe 00010000", (65536, 127, 0, 0)),
        ("00000100 01000000", (1 << 24, 0, 1, 0)),  # bits 8-14: Y
        ("00007f00 7fffffff", ((1 << 31) - 1, 0, 127, 0)),
        ("00007fff 80000000", (1 << 31, 127, 127, 1)),
    ],
)
def test_each_field_of_the_dvs128_and_how_the_common_orientation_turns_it(words, raw, tmp_path):
    t, x, y, p = raw
    path = write_aedat2(tmp_path, words)
    assert columns(read_aedat2(path, orientation="raw")) == [[t, x, y, p]]
    events = read_aedat2(path)
    assert columns(events) == [[t, 127 - y, 127 - x, 1 - p]]
    assert (events.height, events.width, events.x.dtype) == (128, 128, np.uint16)
    with pytest.raises(ValueError, match="orientation"):
        read_aedat2(path, orientation="upright")


@each_row("orientation", ["common", "raw"])
@each_row(
    ("words", "expected"),
    [
        ("00000000 00000007", (7, 0, 0, 0)),
        ("00000800 00000007", (7, 0, 0, 1)),  # bit 11: P
        ("00001000 00000007", (7, 1, 0, 0)),  # bits 12-21: X
        ("00159000 00000007", (7, 345, 0, 0)),
        ("00400000 00000007", (7, 0, 1, 0)),  # bits 22-30: Y
        ("40c00000 00000007", (7, 0, 259, 0)),
        ("000003ff 00000007", (7, 0, 0, 0)),  # bits 0-9 say nothing of events
    ],
)
def test_each_field_of_the_davis(words, expected, orientation, tmp_path):
    events = read_aedat2(write_aedat2(tmp_path, words), DAVIS346, orientation=orientation)
    assert columns(events) == [list(expected)]
    assert (events.height, events.width) == (260, 346)


def test_what_is_no_pixels_event_is_left_out_and_counted(tmp_path):
    davis = "00001000 00000005 80001000 00000006 00001400 00000007 00002000 00000008"
    for layout in (DAVIS240, DAVIS346):
        events = read_aedat2(write_aedat2(tmp_path, davis), layout)
        assert (events.t.tolist(), events.x.tolist(), events.left_out) == ([5, 8], [1, 2], 2)
    events = read_aedat2(write_aedat2(tmp_path, "00008000 00000004 00000002 00000005"), DVS128, orientation="raw")
    assert (events.t.tolist(), events.x.tolist(), events.left_out) == ([5], [1], 1)
    assert read_aedat2(write_aedat2(tmp_path, "00000002 00000005")).left_out == 0


@each_row(
    ("clock", "expected"),
    [
        ([], []),
        ([2**32 - 1], [2**32 - 1]),
        ([0, 2**31 - 1, 2**32 - 2], [0, 2**31 - 1, 2**32 - 2]),
        ([2**32 - 2, 1, 5], [2**32 - 2, 2**32 + 1, 2**32 + 5]),
        ([2**31 - 1, 2**31], [2**31 - 1, 2**31]),  # a signed clock overflows here
        ([2**32 - 1, 0, 2**32 - 1, 1], [2**32 - 1, 2**32, 2**32 - 1, 2**32 + 1]),  # a straggler across the wrap
        ([1 << 30, (3 << 30) - 1], [1 << 30, (3 << 30) - 1]),
        ([1 << 30, 3 << 30], [1 << 30, -(1 << 30)]),  # half a turn is a fall
        ([2**31, 2**32 - 1, 2**30, 2**31, 2**32 - 1, 5], [2**31, 2**32 - 1, 5 << 30, 6 << 30, 2**33 - 1, 2**33 + 5]),
        ([9, 3], [9, 3]),
    ],
)
def test_the_clock_wraps_round(clock, expected):
    assert unwrapped(np.array(clock, np.uint32)).tolist() == expected


@each_row(
    "header",
    [
        b"#!AER-DAT2.0\r\n",
        b"#!AER-DAT2.0\n",
        HEADER_2 + "# user: Jürg\tx\r\n".encode(),
        HEADER_2 + b"# user: J\xfcrg\r\n",
        HEADER_2 + b"#\r\n",
        HEADER_2 + b"#End Of ASCII Header\r\n",
    ],
)
@each_row("first", ["23000000 00000007", "23400000 00000a07", "23142000 0a00000a", "230a0000 00000000"])
def test_events_that_begin_like_a_header_line(header, first, tmp_path):
    path = write_aedat2(tmp_path, first, header)
    assert header_length(path, path.read_bytes()) == len(header)
    events = read_aedat2(path, DAVIS346)
    assert (len(events), events.y.tolist()) == (1, [int(first[:8], 16) >> 22])


def test_after_the_end_of_the_header_nothing_is_text(tmp_path):
    events = read_aedat2(write_aedat2(tmp_path, "230a202023232324", HEADER_2 + b"#End Of ASCII Header\r\n"), DAVIS346)
    assert (events.t.tolist(), events.y.tolist()) == ([0x23232324], [140])


def events(t, x, y, p, size=128):
    return Events(np.array(t, np.int64), np.array(x), np.array(y), np.array(p), size, size)


def test_the_bits_of_an_address_by_hand_and_every_event_read_again(tmp_path):
    content = aedat2_bytes(events([258], [3], [5], [1]), ["# a note"])
    assert content.startswith(b"#!AER-DAT2.0\r\n# a note\r\n#End Of ASCII Header\r\n")
    # common readers: x = 127 - Y, y = 127 - X, p = 1 - P
    address = (127 - 3) << 8 | (127 - 5) << 1 | 0
    assert content[-8:] == address.to_bytes(4, "big") + bytes([0, 0, 1, 2])
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 1 << 31, 5000))
    written, path = events(t, *rng.integers(0, 128, (2, 5000)), rng.integers(0, 2, 5000)), tmp_path / "one.aedat"
    path.write_bytes(aedat2_bytes(written, [SIMULATED, "# seed 0"]))
    read = read_aedat2(path)
    for name in "txyp":
        assert np.array_equal(getattr(read, name), getattr(written, name)), name


@each_row(
    ("made", "notes", "named"),
    [
        (events([1], [3], [5], [1], 34), [], "DVS128"),
        (events([-1], [3], [5], [1]), [], "times"),
        (events([1 << 32], [3], [5], [1]), [], "times"),
        (events([1], [3], [5], [1]), ["# é"], "ascii"),
    ],
)
def test_what_cannot_be_written(made, notes, named):
    with pytest.raises(ValueError, match=named):
        aedat2_bytes(made, notes)


def test_what_is_simulated_says_so_in_its_second_line_alone(tmp_path):
    one, path = events([1], [3], [5], [1]), tmp_path / "one.aedat"
    for notes, expected in (([SIMULATED], True), ([], False), (["# x", SIMULATED], False)):
        path.write_bytes(aedat2_bytes(one, notes))
        assert is_simulated(path) == expected


def read_4(tmp_path, content):
    path = tmp_path / "one.aedat4"
    path.write_bytes(content)
    return read_aedat4(path)


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(DataError, match=r"bntt\[events\]"):
        read_4(tmp_path, VERSION)


HEAD_4 = len(container())


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
        (container(table=1 << 40), f"{(1 << 40) - HEAD_4} bytes .* byte {HEAD_4} of"),
        (container(table=3), f"{3 - HEAD_4} bytes"),
        (container(packets=b"\0" * 7), f"8 bytes .* byte {HEAD_4} of {HEAD_4 + 7}"),
        (container(packets=struct.pack("<ii", 0, 9) + b"12345678"), f"9 bytes .* byte {HEAD_4 + 8} of"),
        (container(packets=struct.pack("<ii", 0, -1)), f"-1 bytes .* byte {HEAD_4 + 8}"),
        (container(packets=struct.pack("<ii", 0, 0) * 2 + b"1"), f"8 bytes .* byte {HEAD_4 + 16}"),
        (container(description(2)), "2 streams"),
        (container(description(1)), "no event"),
        (holding((1, 0, 0, 1), (1, 0, 3, 1)), "event 1: .* y .*2, got 3"),
    ],
)
def test_a_damaged_container_is_named(content, named, tmp_path):
    pytest.importorskip("aedat")
    with pytest.raises(DataError, match=rf"one\.aedat4.*{named}"):
        read_4(tmp_path, content)


EVENTS_4 = [(1, 0, 2, 1), (2, 3, 0, 0), (5, 1, 1, 1)]


@each_row("lz4", [False, True])
def test_events_of_a_file_made_by_hand(lz4, tmp_path):
    pytest.importorskip("aedat")
    packets = packet(EVENTS_4[:2], lz4=lz4) + packet(EVENTS_4[2:], lz4=lz4)
    found = read_4(tmp_path, container(description(), packets=packets, lz4=lz4))
    assert list(zip(found.t, found.x, found.y, found.p, strict=True)) == EVENTS_4
    assert (found.height, found.width) == (3, 4)


@pytest.mark.data
def test_the_real_aedat4(tmp_path):
    pytest.importorskip("aedat")
    events = read_aedat4(path := real("events/tonic_sample.aedat4"))
    assert (len(events), events.height, events.width) == (111_954, 240, 320)
    assert (events.t[0], events.duration) == (1605537493718345, 589_918)
    with pytest.raises(DataError, match="not whole"):
        read_4(tmp_path, path.read_bytes()[:400_000])


def read_bin(tmp_path, content, **sensor):
    path = tmp_path / "one.bin"
    path.write_bytes(bytes.fromhex(content))
    events = read_nmnist(path, **sensor)
    return [list(row) for row in zip(*(getattr(events, n).tolist() for n in "txyp"), strict=True)], events.left_out


@each_row(
    ("record", "expected"),
    [
        ("00 00 00 00 00", (0, 0, 0, 0)),
        ("21 00 00 00 01", (1, 33, 0, 0)),
        ("00 21 00 01 00", (256, 0, 33, 0)),
        ("01 02 80 00 00", (0, 1, 2, 1)),
        ("01 02 01 00 00", (65536, 1, 2, 0)),
        ("01 02 ff ff ff", ((1 << 23) - 1, 1, 2, 1)),
    ],
)
def test_each_field(record, expected, tmp_path):
    assert read_bin(tmp_path, record) == ([list(expected)], 0)


def test_overflow_records_move_what_follows_and_another_sensor_is_larger(tmp_path):
    content = "01 02 80 00 05 00 f0 00 00 00 03 04 00 00 06 00 f0 80 00 00 00 f0 00 00 00 05 06 00 00 01"
    expected = [[5, 1, 2, 1], [(1 << 13) + 6, 3, 4, 0], [3 * (1 << 13) + 1, 5, 6, 0]]
    assert read_bin(tmp_path, content) == (expected, 3)
    assert read_bin(tmp_path, "ef b3 00 00 00", height=180, width=240) == ([[0, 239, 179, 0]], 0)


@pytest.mark.data
def test_the_real_nmnist():
    events = read_nmnist(real("events/tonic_sample_nmnist.bin"))
    assert (len(events), events.left_out, events.x.max(), events.y.max()) == (4325, 0, 33, 33)
    assert (events.t[0], events.t[-1], set(events.p.tolist())) == (654, 311175, {0, 1})


GOOD = {"t": [3, 3, 8], "x": [0, 3, 1], "y": [2, 0, 1], "p": [0, 1, 1]}


@each_row("save", [np.savez, np.savez_compressed])
@each_row("kind", ["<i8", ">i8", "<u8", ">u2", "i1", "u1"])
def test_an_archive_of_any_integer_type(kind, save, tmp_path):
    arrays = {name: np.array(values, kind) for name, values in GOOD.items()}
    for polarity in (arrays["p"], arrays["p"].astype(bool)):
        save(tmp_path / "one.npz", **arrays | {"p": polarity, "other": np.zeros(3)})
        events = read_event_archive(tmp_path / "one.npz", height=3, width=4)
        assert {name: getattr(events, name).tolist() for name in "txyp"} == GOOD
        assert (events.height, events.width, events.t.dtype) == (3, 4, np.int64)


def test_a_header_of_the_second_version():
    content = io.BytesIO()
    np.lib.format.write_array(content, np.arange(3), version=(2, 0))
    assert formats._values("t", content.getvalue()).tolist() == [0, 1, 2]


def test_an_object_is_never_unpickled(tmp_path):
    canary = tmp_path / "canary"

    class Trap:
        def __reduce__(self):
            return canary.touch, ()

    np.savez(tmp_path / "one.npz", **{**GOOD, "p": np.array([Trap()] * 3)})
    with pytest.raises(DataError, match="'p' is object"):
        read_event_archive(tmp_path / "one.npz", height=3, width=4)
    assert not canary.exists()


def test_arrays_that_are_too_much_together(monkeypatch, tmp_path):
    np.savez_compressed(tmp_path / "one.npz", **{name: np.zeros(1000, "i8") for name in "txyp"})
    assert (tmp_path / "one.npz").stat().st_size < 2000
    monkeypatch.setattr(formats, "LARGEST_FILE", 30_000)
    with pytest.raises(DataError, match="32512 bytes unpacked"):
        read_event_archive(tmp_path / "one.npz", height=3, width=4)


@each_row("read, content, named", DAMAGED_2 + DAMAGED_NMNIST + DAMAGED_ARCHIVE)
def test_what_is_damaged_is_named(read, content, named, tmp_path):
    (tmp_path / "one").write_bytes(content)
    with pytest.raises(DataError, match=named) as raised:
        read(tmp_path / "one")
    assert str(tmp_path / "one") in str(raised.value)


def test_what_is_changed_is_refused_by_name_or_read_with_every_event_in_little_memory(tmp_path):
    path, seen = tmp_path / "one", Counter()
    tracemalloc.start()
    for case in range(500):
        kind = list(SEEDS)[case % len(SEEDS)]
        read, content = SEEDS[kind]
        path.write_bytes(changed(content, np.random.default_rng(case)) if case >= len(SEEDS) else content)
        tracemalloc.reset_peak()
        try:
            events = read(path)
            frames = to_frames(events, Binning(3, 3, 4))
            assert int(frames.counts.long().sum()) == len(events)
            seen[kind, "read"] += 1
        except DataError as error:
            seen[kind, "refused" if str(path) in str(error) else "refused without its name"] += 1
        assert tracemalloc.get_traced_memory()[1] < 8 << 20, case
    tracemalloc.stop()
    assert {how for _, how in seen} == {"read", "refused"}
    assert all(seen[kind, "refused"] > 5 and seen[kind, "read"] for kind in SEEDS)

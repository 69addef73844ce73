"""AEDAT 2.0 against bytes written out by hand from the layouts' description, read and written."""

import numpy as np
import pytest

from bntt.data.events.binning import Events
from bntt.data.events.formats import (
    DAVIS240,
    DAVIS346,
    DVS128,
    SIMULATED,
    aedat2_bytes,
    header_length,
    is_simulated,
    read_aedat2,
    unwrapped,
)
from tests.rows import each_row

HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"


def write(tmp_path, payload, header=HEADER):
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
    path = write(tmp_path, words)
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
    events = read_aedat2(write(tmp_path, words), DAVIS346, orientation=orientation)
    assert columns(events) == [list(expected)]
    assert (events.height, events.width) == (260, 346)


def test_what_is_no_pixels_event_is_left_out_and_counted(tmp_path):
    davis = "00001000 00000005 80001000 00000006 00001400 00000007 00002000 00000008"
    for layout in (DAVIS240, DAVIS346):
        events = read_aedat2(write(tmp_path, davis), layout)
        assert (events.t.tolist(), events.x.tolist(), events.left_out) == ([5, 8], [1, 2], 2)
    events = read_aedat2(write(tmp_path, "00008000 00000004 00000002 00000005"), DVS128, orientation="raw")
    assert (events.t.tolist(), events.x.tolist(), events.left_out) == ([5], [1], 1)
    assert read_aedat2(write(tmp_path, "00000002 00000005")).left_out == 0


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
        HEADER + "# user: Jürg\tx\r\n".encode(),
        HEADER + b"# user: J\xfcrg\r\n",
        HEADER + b"#\r\n",
        HEADER + b"#End Of ASCII Header\r\n",
    ],
)
@each_row("first", ["23000000 00000007", "23400000 00000a07", "23142000 0a00000a", "230a0000 00000000"])
def test_events_that_begin_like_a_header_line(header, first, tmp_path):
    path = write(tmp_path, first, header)
    assert header_length(path, path.read_bytes()) == len(header)
    events = read_aedat2(path, DAVIS346)
    assert (len(events), events.y.tolist()) == (1, [int(first[:8], 16) >> 22])


def test_after_the_end_of_the_header_nothing_is_text(tmp_path):
    events = read_aedat2(write(tmp_path, "230a202023232324", HEADER + b"#End Of ASCII Header\r\n"), DAVIS346)
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

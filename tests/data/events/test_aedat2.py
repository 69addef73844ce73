"""AEDAT 2.0 against bytes written out by hand from the layouts' description."""

import numpy as np
import pytest

from bntt.data.events.formats import DAVIS240, DAVIS346, DVS128, header_length, read_aedat2, unwrapped
from bntt.io.errors import DataError
from tests.grids import all_pairs
from tests.rows import each_row

HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"


def write(tmp_path, payload, header=HEADER):
    path = tmp_path / "one.aedat"
    path.write_bytes(header + (bytes.fromhex(payload) if isinstance(payload, str) else payload))
    return path


def columns(events):
    return [list(row) for row in zip(*(getattr(events, n).tolist() for n in "txyp"), strict=True)]


DVS128_WORDS = {
    "00000000 00000000": (0, 0, 0, 0),
    "00000001 00000001": (1, 0, 0, 1),  # bit 0: P
    "00000002 00000100": (256, 1, 0, 0),  # bits 1-7: X
    "000000fe 00010000": (65536, 127, 0, 0),
    "00000100 01000000": (1 << 24, 0, 1, 0),  # bits 8-14: Y
    "00007f00 7fffffff": ((1 << 31) - 1, 0, 127, 0),
    "00007fff 80000000": (1 << 31, 127, 127, 1),
}


@each_row(("words", "expected"), DVS128_WORDS.items())
def test_each_field_of_the_dvs128(words, expected, tmp_path):
    assert columns(read_aedat2(write(tmp_path, words), orientation="raw")) == [list(expected)]


@each_row(("words", "raw"), DVS128_WORDS.items())
def test_the_common_orientation_turns_the_dvs128(words, raw, tmp_path):
    t, x, y, p = raw
    events = read_aedat2(write(tmp_path, words))
    assert columns(events) == [[t, 127 - y, 127 - x, 1 - p]]
    assert (events.height, events.width, events.x.dtype) == (128, 128, np.uint16)


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


def test_the_place_of_a_fault_counts_what_was_left_out(tmp_path):
    words = "80000000 00000005 00001000 00000005 000f0000 00000006"  # x = 240
    with pytest.raises(DataError, match=rf"byte {len(HEADER) + 16}, event 1: expected x from 0 to 239, got 240"):
        read_aedat2(write(tmp_path, words), DAVIS240)


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


def test_a_file_across_the_wrap(tmp_path):
    events = read_aedat2(write(tmp_path, "00000000 fffffffe 00000000 00000001"))
    assert (events.t.tolist(), events.duration) == ([2**32 - 2, 2**32 + 1], 4)


FALLS = "00000002 00000009 00000004 00000005 00000006 00000009 00000008 00000005"


def test_times_that_fall_are_refused_or_sorted(tmp_path):
    path = write(tmp_path, FALLS)
    with pytest.raises(DataError, match=rf"byte {len(HEADER) + 8}, event 1: time falls from 9 to 5"):
        read_aedat2(path)
    events = read_aedat2(path, orientation="raw", falling="sort")
    assert (events.t.tolist(), events.x.tolist()) == ([5, 5, 9, 9], [2, 4, 1, 3])


def test_events_of_one_time_stay_as_they_come(tmp_path):
    words = "".join(f"{2 * (number % 100):08x} {7 - number % 2:08x}" for number in range(100))
    events = read_aedat2(write(tmp_path, words), orientation="raw", falling="sort")
    assert events.x.tolist() == [*range(1, 100, 2), *range(0, 100, 2)]


@each_row("option", [{"orientation": "upright"}, {"falling": "drop"}])
def test_choices_that_there_are_not(option, tmp_path):
    with pytest.raises(ValueError, match="choose out of"):
        read_aedat2(write(tmp_path, "00000000 00000000"), **option)


@each_row(
    "header",
    [
        b"#!AER-DAT2.0\r\n",
        b"#!AER-DAT2.0\n",
        HEADER + "# user: Jürg\tx\r\n".encode(),
        HEADER + b"# user: J\xfcrg\r\n",
        HEADER + b"#\r\n#\n",
        HEADER + b"#End Of ASCII Header\r\n",
    ],
)
@each_row("first", ["23000000 00000007", "23400000 00000a07", "23142000 0a00000a", "230a0000 00000000"])
def test_events_that_begin_like_a_header_line(header, first, tmp_path):
    path = write(tmp_path, first, header)
    assert header_length(path, path.read_bytes()) == len(header)
    events = read_aedat2(path, DAVIS346)
    assert (len(events), events.y.tolist()) == (1, [int(first[:8], 16) >> 22])


LINES = {
    "one event": (b"#A 0AB \n",),
    "as jAER ends lines": (b"#A 0AB\r\n",),
    "two in one line": (b"#A 0AB 1", b"\x80A 0AB 9", b"$A\n0AB A"),
    "two lines": (b"#A 0AB \n", b"#B 0AB0\n"),
    "a line and a half": (b"#A 0AB \n", b"#@0\nAB \1"),
    "a line feed in the address": (b"#A\n0AB \1",),
    "no pixel's event": (b"#A$\nAB \1",),
    "no line feed": (b"#A 0AB 0",),
}
"""Events whose first bytes are those of a header's line, some of them up to its end."""


@each_row("behind", [0, 1, 3])
@each_row("header", [b"#!AER-DAT2.0\r\n", b"#!AER-DAT2.0\n", HEADER, HEADER + b"#\r\n", HEADER + b"# 6\r\n# 45678\r\n"])
@each_row("lines", LINES)
def test_no_event_is_lost_that_looks_like_a_header_line(lines, header, behind, tmp_path):
    """Whatever the header's length, with events behind it or none: all there are, at their times."""
    events = [event[-8:] for event in LINES[lines]]
    clock = int.from_bytes(events[-1][4:], "big")
    events += [(1 << 22).to_bytes(4, "big") + (clock + 900 * step).to_bytes(4, "big") for step in range(1, behind + 1)]
    path = write(tmp_path, b"".join(events), header)
    assert header_length(path, path.read_bytes(), DAVIS240) == len(header)
    if lines == "no pixel's event" and not behind:
        return
    for layout in (DAVIS240, DAVIS346):
        found = read_aedat2(path, layout, falling="sort")
        assert len(found) + found.left_out == len(events)
        assert {*found.t.tolist()} <= {int.from_bytes(event[4:], "big") for event in events}


@each_row(
    ("layout", "first", "ending"),
    all_pairs([DVS128, DAVIS240, DAVIS346], [7, 1 << 29, 0x20202020, (1 << 32) - 9], [b"\n", b"\r\n"]),
)
def test_a_header_line_is_no_event(ending, first, layout, tmp_path):
    """Lines of every length, so that each is a whole number of events once, in words that addresses of a DAVIS fit."""
    for length in range(1, 42, 2 if ending == b"\n" else 3):
        for text in (b" created by hand " * 3, b"A" * 48, b"-" * 48, b"Date=2017-02-08, sensor=DAVIS240C, user=me "):
            header = b"#!AER-DAT2.0" + ending + b"#" + text[:length] + ending
            path = write(tmp_path, b"".join(word.to_bytes(4, "big") for word in (2, first, 4, first + 5)), header)
            assert header_length(path, path.read_bytes(), layout) == len(header)


def test_a_header_that_nothing_follows_is_no_recording(tmp_path):
    with pytest.raises(DataError, match="there is no event"):
        read_aedat2(write(tmp_path, b"", HEADER + b"# 45678\n"), DAVIS346)
    with pytest.raises(DataError, match="its header has a line that does not end"):
        read_aedat2(write(tmp_path, b"", HEADER + b"# 4567 without an end"), DAVIS346)


def test_a_file_cut_within_an_event_keeps_its_header(tmp_path):
    """The last line is as long as what is missing: only so would its bytes be a whole number of events."""
    path = write(tmp_path, "00001000 00000007 0000", HEADER + b"# 12\r\n")
    with pytest.raises(
        DataError, match=rf"ends within an event: 2 of 8 bytes follow .*its header has {len(HEADER) + 6}"
    ):
        read_aedat2(path, DAVIS346)


def test_after_the_end_of_the_header_nothing_is_text(tmp_path):
    path = write(tmp_path, b"#\x0a\x20\x20###$", HEADER + b"#End Of ASCII Header\r\n")
    events = read_aedat2(path, DAVIS346)
    assert (events.t.tolist(), events.y.tolist()) == ([0x23232324], [140])

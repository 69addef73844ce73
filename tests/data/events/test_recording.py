"""The events of a recording: what cannot be is refused, and parts are views."""

import numpy as np
import pytest

from bntt.data.events.binning import EventFault, Events
from bntt.data.events.formats import recorded
from bntt.io.errors import DataError
from tests.rows import each_row

GOOD = {"t": [3, 3, 8, 9], "x": [0, 3, 1, 2], "y": [2, 0, 1, 1], "p": [0, 1, 1, 0]}


def build(height=3, width=4, **changes):
    arrays = {name: np.array(values) for name, values in {**GOOD, **changes}.items()}
    return Events(**arrays, height=height, width=width)


def test_length_and_duration_count_both_ends():
    assert (len(build()), build().duration) == (4, 7)
    assert build(t=[5, 5, 5, 5]).duration == 1


def test_a_part_is_a_view():
    events = build()
    part = events[1:3]
    assert (part.t.tolist(), part.x.tolist(), part.height, part.width) == ([3, 8], [3, 1], 3, 4)
    assert all(np.shares_memory(getattr(part, name), getattr(events, name)) for name in "txyp")


@each_row(
    ("changes", "event", "message"),
    [
        ({"t": [3, 3, 8, 7]}, 3, "time falls from 8 to 7"),
        ({"x": [0, 4, 1, 2]}, 1, "expected x from 0 to 3, got 4"),
        ({"x": [-1, 3, 1, 2]}, 0, "expected x from 0 to 3, got -1"),
        ({"y": [2, 0, 3, 1]}, 2, "expected y from 0 to 2, got 3"),
        ({"p": [0, 1, 1, 2]}, 3, "expected polarity 0 or 1, got 2"),
        ({"p": [0, -1, 1, 0]}, 1, "expected polarity 0 or 1, got -1"),
        ({"p": [0, 1]}, None, r"x, y, p as long, got int64 and \[\(4,\), \(4,\), \(4,\), \(2,\)\]"),
        ({name: np.zeros(0, np.int64) for name in "txyp"}, None, "there is no event"),
        ({"t": np.array([3, 3, 8, 9], np.int32)}, None, "t must be int64 microseconds, .* got int32"),
        ({"width": 0}, None, "a sensor has 1 to 32768 rows and columns, got 3 and 0"),
        ({"height": 1 << 20}, None, "got 1048576 and 4"),
    ],
)
def test_what_cannot_be(changes, event, message):
    with pytest.raises(EventFault, match=message) as raised:
        build(**changes)
    assert raised.value.event == event


def test_no_part_is_empty_or_turned_round():
    with pytest.raises(EventFault, match="there is no event"):
        build()[4:]
    with pytest.raises(EventFault, match="time falls"):
        build()[::-1]


def test_a_fault_names_file_and_place(tmp_path):
    with pytest.raises(DataError, match=r"a.bin, byte 16: expected x from 0 to 3, got 9"):
        recorded(tmp_path / "a.bin", lambda event: f"byte {8 * event}", lambda: build(x=[0, 3, 9, 9]))
    with pytest.raises(DataError, match=r"a.bin: there is no event"):
        recorded(tmp_path / "a.bin", str, lambda: build(**{name: np.zeros(0, np.int64) for name in "txyp"}))

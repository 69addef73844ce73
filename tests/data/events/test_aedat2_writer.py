"""Recordings written as AEDAT 2.0: the bytes by hand, and every event read again."""

import numpy as np
import pytest

from bntt.data.events.binning import Events
from bntt.data.events.formats import SIMULATED, aedat2_bytes, is_simulated, read_aedat2
from tests.rows import each_row


def events(t, x, y, p, size=128):
    return Events(np.array(t, np.int64), np.array(x), np.array(y), np.array(p), size, size)


def test_the_bits_of_an_address_by_hand():
    content = aedat2_bytes(events([258], [3], [5], [1]), ["# a note"])
    assert content.startswith(b"#!AER-DAT2.0\r\n# a note\r\n#End Of ASCII Header\r\n")
    # common readers: x = 127 - Y, y = 127 - X, p = 1 - P
    address = (127 - 3) << 8 | (127 - 5) << 1 | 0
    assert content[-8:] == address.to_bytes(4, "big") + bytes([0, 0, 1, 2])


def test_every_event_is_read_again(tmp_path):
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 1 << 31, 5000))
    written = events(t, *rng.integers(0, 128, (2, 5000)), rng.integers(0, 2, 5000))
    path = tmp_path / "one.aedat"
    path.write_bytes(aedat2_bytes(written, [SIMULATED, "# seed 0"]))
    read = read_aedat2(path)
    for name in "txyp":
        assert np.array_equal(getattr(read, name), getattr(written, name)), name


def test_an_event_of_any_address_ends_no_header(tmp_path):
    path = tmp_path / "one.aedat"
    for x in range(128):
        path.write_bytes(aedat2_bytes(events([0x23232323 & 0xFFFF], [x], [127 - x], [x % 2])))
        assert read_aedat2(path).x.tolist() == [x]


@each_row(
    ("made", "notes", "message"),
    [
        (events([1], [3], [5], [1], 34), [], "a DVS128 has 128 rows and columns, .* got 34 and 34"),
        (events([-1], [3], [5], [1]), [], "times of 0 to .*, got 128 and 128"),
        (events([1 << 32], [3], [5], [1]), [], "times of 0 to .*, got 128 and 128"),
        (events([1], [3], [5], [1]), ["# é"], "ascii"),
    ],
)
def test_refusals(made, notes, message):
    with pytest.raises(ValueError, match=message):
        aedat2_bytes(made, notes)


def test_what_is_simulated_says_so_in_its_second_line_alone(tmp_path):
    one, path = events([1], [3], [5], [1]), tmp_path / "one.aedat"
    for notes, expected in (([SIMULATED], True), ([], False), (["# x", SIMULATED], False)):
        path.write_bytes(aedat2_bytes(one, notes))
        assert is_simulated(path) == expected

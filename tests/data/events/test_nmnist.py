"""N-MNIST's records against bytes written out by hand."""

import os
from pathlib import Path

import pytest

from bntt.data.events.formats import read_nmnist
from bntt.io.errors import DataError
from tests.rows import each_row


def read(tmp_path, content, **sensor):
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
    assert read(tmp_path, record) == ([list(expected)], 0)


def test_overflow_records_move_what_follows(tmp_path):
    content = "01 02 80 00 05 00 f0 00 00 00 03 04 00 00 06 00 f0 80 00 00 00 f0 00 00 00 05 06 00 00 01"
    expected = [[5, 1, 2, 1], [(1 << 13) + 6, 3, 4, 0], [3 * (1 << 13) + 1, 5, 6, 0]]
    assert read(tmp_path, content) == (expected, 3)


def test_another_sensor(tmp_path):
    assert read(tmp_path, "ef b3 00 00 00", height=180, width=240) == ([[0, 239, 179, 0]], 0)


def test_the_place_of_a_fault_counts_overflow_records(tmp_path):
    with pytest.raises(DataError, match=r"one.bin, byte 10, event 1: expected x from 0 to 33, got 34"):
        read(tmp_path, "01 02 80 00 05 00 f0 00 00 00 22 04 00 00 06")


@pytest.mark.data
def test_the_real_recording():
    path = Path(os.environ.get("BNTT_TEST_DATA", "/nonexistent")) / "events" / "tonic_sample_nmnist.bin"
    if not path.is_file():
        pytest.skip("BNTT_TEST_DATA names no folder with events/tonic_sample_nmnist.bin")
    events = read_nmnist(path)
    assert (len(events), events.left_out, events.x.max(), events.y.max()) == (4325, 0, 33, 33)
    assert (events.t[0], events.t[-1], set(events.p.tolist())) == (654, 311175, {0, 1})

"""Recordings in NumPy's archives: any integer type, and headers that lie."""

import io

import numpy as np
import pytest

from bntt.data.events import formats as event_archive
from bntt.data.events.formats import read_event_archive
from bntt.io.errors import DataError
from tests.rows import each_row

GOOD = {"t": [3, 3, 8], "x": [0, 3, 1], "y": [2, 0, 1], "p": [0, 1, 1]}


@each_row("save", [np.savez, np.savez_compressed])
@each_row("kind", ["<i8", ">i8", "<u8", ">u2", "i1", "u1"])
def test_values_of_any_integer_type(kind, save, tmp_path):
    path = tmp_path / "one.npz"
    save(path, **{name: np.array(values, kind) for name, values in GOOD.items()}, other=np.zeros(3))
    events = read_event_archive(path, height=3, width=4)
    assert {name: getattr(events, name).tolist() for name in "txyp"} == GOOD
    assert (events.height, events.width, events.t.dtype) == (3, 4, np.int64)


def test_polarity_may_be_bool(tmp_path):
    np.savez(tmp_path / "one.npz", **{**GOOD, "p": np.array([False, True, True])})
    assert read_event_archive(tmp_path / "one.npz", height=3, width=4).p.tolist() == GOOD["p"]


def test_a_header_of_the_second_version(tmp_path):
    np.savez(tmp_path / "one.npz", **GOOD)
    content = io.BytesIO()
    np.lib.format.write_array(content, np.arange(3), version=(2, 0))
    assert event_archive._values("t", content.getvalue()).tolist() == [0, 1, 2]


def test_an_object_is_never_unpickled(tmp_path):
    canary = tmp_path / "canary"

    class Trap:
        def __reduce__(self):
            return canary.touch, ()

    np.savez(tmp_path / "one.npz", **{**GOOD, "p": np.array([Trap()] * 3)})
    with pytest.raises(DataError, match="its array 'p' is object: expected integers"):
        read_event_archive(tmp_path / "one.npz", height=3, width=4)
    assert not canary.exists()


def test_arrays_that_are_too_much_together(monkeypatch, tmp_path):
    np.savez_compressed(tmp_path / "one.npz", **{name: np.zeros(1000, "i8") for name in "txyp"})
    assert (tmp_path / "one.npz").stat().st_size < 2000
    monkeypatch.setattr(event_archive, "LARGEST_FILE", 30_000)
    with pytest.raises(DataError, match="32512 bytes unpacked, more than 30000: cut the recording into parts"):
        read_event_archive(tmp_path / "one.npz", height=3, width=4)

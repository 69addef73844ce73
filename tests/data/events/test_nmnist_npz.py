"""N-MNIST's records against bytes written out by hand, and recordings in NumPy's archives."""

import io

import numpy as np
import pytest

from bntt.data.events import formats
from bntt.data.events.formats import read_event_archive, read_nmnist
from bntt.io.errors import DataError
from tests.fakes import real
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


def test_overflow_records_move_what_follows_and_another_sensor_is_larger(tmp_path):
    content = "01 02 80 00 05 00 f0 00 00 00 03 04 00 00 06 00 f0 80 00 00 00 f0 00 00 00 05 06 00 00 01"
    expected = [[5, 1, 2, 1], [(1 << 13) + 6, 3, 4, 0], [3 * (1 << 13) + 1, 5, 6, 0]]
    assert read(tmp_path, content) == (expected, 3)
    assert read(tmp_path, "ef b3 00 00 00", height=180, width=240) == ([[0, 239, 179, 0]], 0)


@pytest.mark.data
def test_the_real_recording():
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

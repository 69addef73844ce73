"""IDX files: values, and headers that lie."""

import gzip
import struct

import numpy as np
import pytest

from bntt.data import images as mnist
from bntt.data.images import FASHION_CLASSES, find, read_idx, read_mnist
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row


@pytest.fixture
def array():
    return fakes.pixels(3, 4, 5)


@each_row("packed", [True, False])
def test_values(array, packed, tmp_path):
    path = tmp_path / ("x.gz" if packed else "x")
    content = fakes.idx_bytes(array)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert np.array_equal(read_idx(path, 3).numpy(), array)


HUGE = bytes((0, 0, 8, 2)) + struct.pack(">2I", 2**31, 2**31)


@each_row("packed", [True, False])
@each_row(
    ("content", "dimensions", "message"),
    [
        (b"", 1, "begins with 00000801"),
        (b"\0\0\x08\x03" + b"\0" * 12, 1, "begins with 00000801, got 00000803"),
        (b"\0\0\x0d\x01" + b"\0" * 12, 1, "got 00000d01"),
        (HUGE, 2, "announces 4611686018427387904 values, the file holds 1 to"),
        (fakes.idx_bytes(np.zeros(9, "u1"))[:-1], 1, "announces 9 values, the file holds (8|1 to)"),
        (fakes.idx_bytes(np.zeros(9, "u1")) + b"\0" * 100_000, 1, "announces 9 values, the file holds more"),
    ],
)
def test_headers_that_lie(content, dimensions, message, packed, tmp_path):
    path = tmp_path / ("x.gz" if packed else "x")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=message):
        read_idx(path, dimensions)


@each_row(
    "content",
    [b"", b"not gzip at all", gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde")[:-6]],
)
def test_gzip_files_that_are_not(content, tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_idx(path, 1)


def test_labels_beyond_the_classes(tmp_path):
    folder = fakes.write_mnist(tmp_path, packed=False)
    (folder / "train-labels-idx1-ubyte").write_bytes(fakes.idx_bytes(np.full(20, 255, "u1")))
    with pytest.raises(DataError, match="label 255 of image 0 is outside 0-9"):
        read_mnist(folder, FASHION_CLASSES)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"holds neither train-images-idx3-ubyte nor train-images-idx3-ubyte\.gz"):
        find(tmp_path, "train-images-idx3-ubyte")


@each_row("packed", [True, False])
def test_sizes_of_nothing_or_of_too_much(packed, tmp_path, monkeypatch):
    path = tmp_path / ("x.gz" if packed else "x")
    put = gzip.compress if packed else bytes
    path.write_bytes(put(bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1)))
    with pytest.raises(DataError, match=r"x.*: its header announces 0 values"):
        read_idx(path, 3)
    monkeypatch.setattr(mnist, "LARGEST_IDX", 8)
    path.write_bytes(put(fakes.idx_bytes(np.zeros(9, "u1"))))
    with pytest.raises(DataError, match="announces 9 values, the file holds 1 to 8"):
        read_idx(path, 1)

"""IDX files: values, and headers that lie."""

import gzip
import struct

import numpy as np
import pytest

from bntt.data import images
from bntt.data.images import FASHION_CLASSES, read_idx, read_mnist
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row

HUGE = bytes((0, 0, 8, 2)) + struct.pack(">2I", 2**31, 2**31)
EMPTY = bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1)
NINE = fakes.idx_bytes(np.zeros(9, "u1"))
PACK = {"x": bytes, "x.gz": gzip.compress}


@each_row("name", PACK)
def test_values(name, tmp_path):
    array, path = fakes.pixels(3, 4, 5), tmp_path / name
    path.write_bytes(PACK[name](fakes.idx_bytes(array)))
    assert np.array_equal(read_idx(path, 3).numpy(), array)


@each_row("name", PACK)
@each_row(
    ("content", "dimensions", "named"),
    [
        (b"", 1, "00000801"),
        (b"\0\0\x08\x03" + b"\0" * 12, 1, "00000801, got 00000803"),
        (b"\0\0\x0d\x01" + b"\0" * 12, 1, "00000801, got 00000d01"),
        (HUGE, 2, "4611686018427387904 values, .* 1 to"),
        (EMPTY, 3, "0 values"),
        (NINE[:-1], 1, "9 values"),
        (NINE + b"\0" * 100_000, 1, "9 values, .* more"),
        (fakes.idx_bytes(np.zeros(33, "u1")), 1, "33 values, .* 1 to 32"),
    ],
)
def test_headers_that_lie(content, dimensions, named, name, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGEST_IDX", 32)
    path = tmp_path / name
    path.write_bytes(PACK[name](content))
    with pytest.raises(DataError, match=rf"{name}: .*{named}"):
        read_idx(path, dimensions)


@each_row("content", [b"", b"not gzip at all", gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde")[:-6]])
def test_gzip_files_that_are_not(content, tmp_path):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.gz"):
        read_idx(tmp_path / "x.gz", 1)


def test_labels_beyond_the_classes_and_a_missing_file(tmp_path):
    folder = fakes.write_mnist(tmp_path, packed=False)
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(fakes.idx_bytes(np.full(20, 255, "u1")))
    with pytest.raises(DataError, match="label 255 of image 0"):
        read_mnist(folder, FASHION_CLASSES)
    labels.unlink()
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte nor train-labels-idx1-ubyte\.gz"):
        read_mnist(folder)

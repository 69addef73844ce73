"""CIFAR's binary records, in a folder and in an archive."""

import gzip
import tarfile

import numpy as np
import pytest
import torch

from bntt.data.images import CIFAR10, CIFAR100, read_cifar
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row

TINY = fakes.TINY["cifar10"]


@each_row(
    ("name", "layout", "file", "index", "stored"),
    [("cifar10", CIFAR10, "data_batch_2.bin", 10, 0), ("cifar100", CIFAR100, "train.bin", 7, 7)],
)
def test_a_record_is_labels_of_which_the_last_is_taken_red_green_blue(name, layout, file, index, stored, tmp_path):
    classes = 10 if name == "cifar10" else 100
    folder = fakes.write_cifar(tmp_path, layout, classes)
    record = np.frombuffer((folder / file).read_bytes(), np.uint8).reshape(-1, layout.labels + 3072)[stored]
    train = read_cifar(folder, fakes.TINY[name]).train
    assert train.labels[index] == record[layout.labels - 1] == stored
    assert torch.equal(train.images[index].flatten(), torch.from_numpy(record[layout.labels :].copy()))
    assert train.classes == tuple(f"class{i}" for i in range(classes))


def test_the_real_layouts():
    assert [f"{n}" for n in CIFAR10.train] == [f"data_batch_{i}.bin" for i in range(1, 6)]
    assert (CIFAR10.labels, CIFAR100.labels, CIFAR10.records) == (1, 2, 10_000)


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def mislabelled(path):
    path.write_bytes(b"".join((path.read_bytes()[:3073], b"\xff", path.read_bytes()[3074:])))


def damaged(path):
    path.write_bytes(path.read_bytes()[:200] + bytes(20) + path.read_bytes()[220:])


@each_row(
    ("change", "named"),
    [
        *(
            (lambda at, keep=keep: cut(at / "data_batch_3.bin", keep), "data_batch_3.bin .*30730")
            for keep in (0, 9, -1)
        ),
        (lambda at: (at / "test_batch.bin").write_bytes(bytes(61_460)), "test_batch.bin .*30,730"),
        (lambda at: mislabelled(at / "data_batch_1.bin"), "label 255 of image 1"),
        (lambda at: (at / "test_batch.bin").unlink(), "test_batch.bin"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(change, named, tmp_path):
    change(folder := fakes.write_cifar(tmp_path))
    with pytest.raises(DataError, match=named):
        read_cifar(folder, TINY)


@each_row(
    "change",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a tar file"),
        lambda path: cut(path, len(path.read_bytes()) // 2),
        damaged,
        lambda path: fakes.write_cifar_tar(path, CIFAR100, 100),
    ],
)
def test_an_archive_that_is_not_whole_is_named(change, tmp_path):
    change(path := fakes.write_cifar_tar(tmp_path / "x.tar.gz"))
    with pytest.raises(DataError, match=r"x\.tar\.gz"):
        read_cifar(path, TINY)


def test_the_python_version_is_never_unpickled(tmp_path):
    """Fault 18: a folder of pickles is not the binary version; what is inside never runs."""
    canary = tmp_path / "canary"
    (tmp_path / "data_batch_1").write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    with pytest.raises(DataError, match="binary version"):
        read_cifar(tmp_path, CIFAR10)
    assert not canary.exists()


def test_an_archive_is_unpacked_to_no_more_than_is_wanted(tmp_path):
    path = fakes.write_cifar_tar(tmp_path / "x.tar.gz")
    whole = gzip.decompress(path.read_bytes())
    stranger = tarfile.TarInfo("zeros")
    stranger.size = 2 << 20
    beside = stranger.tobuf() + bytes(stranger.size) + whole
    for pack in (bytes, gzip.compress):
        path.write_bytes(pack(whole))
        assert len(read_cifar(path, TINY).train) == 50
        path.write_bytes(pack(beside))
        with pytest.raises(DataError, match="more than CIFAR has"):
            read_cifar(path, TINY)

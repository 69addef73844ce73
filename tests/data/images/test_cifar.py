"""CIFAR's binary records."""

import gzip
import tarfile

import numpy as np
import pytest
import torch

from bntt.data.images import CIFAR10, CIFAR100, read_cifar
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row


def test_a_record_is_label_red_green_blue(tmp_path):
    folder = fakes.write_cifar(tmp_path)
    record = np.frombuffer((folder / "data_batch_2.bin").read_bytes(), np.uint8)[:3073]
    train = read_cifar(folder, fakes.TINY["cifar10"]).train
    assert train.labels[10] == record[0]
    assert torch.equal(train.images[10].flatten(), torch.from_numpy(record[1:].copy()))
    assert train.classes == tuple(f"class{i}" for i in range(10))


def test_cifar100_takes_the_fine_label(tmp_path):
    folder = fakes.write_cifar(tmp_path, CIFAR100, 100)
    record = np.frombuffer((folder / "train.bin").read_bytes(), np.uint8)[3074 * 7 :][:3074]
    train = read_cifar(folder, fakes.TINY["cifar100"]).train
    assert train.labels[7] == record[1] == 7
    assert torch.equal(train.images[7].flatten(), torch.from_numpy(record[2:].copy()))


def test_the_real_layouts():
    assert [f"{n}" for n in CIFAR10.train] == [f"data_batch_{i}.bin" for i in range(1, 6)]
    assert (CIFAR10.labels, CIFAR100.labels, CIFAR10.records) == (1, 2, 10_000)


@each_row("keep", [0, 100, -1])
def test_a_truncated_file(keep, tmp_path):
    folder = fakes.write_cifar(tmp_path)
    path = folder / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"data_batch_3.bin has \d+ bytes, expected 30730: the file is not whole"):
        read_cifar(folder, fakes.TINY["cifar10"])


def test_a_file_that_is_too_long(tmp_path):
    folder = fakes.write_cifar(tmp_path)
    path = folder / "test_batch.bin"
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DataError, match=r"test_batch.bin has 61,460 bytes, at most 30,730 are read"):
        read_cifar(folder, fakes.TINY["cifar10"])


def test_a_label_beyond_the_classes(tmp_path):
    folder = fakes.write_cifar(tmp_path)
    path = folder / "data_batch_1.bin"
    content = bytearray(path.read_bytes())
    content[3073] = 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="label 255 of image 1 is outside 0-9"):
        read_cifar(folder, fakes.TINY["cifar10"])


def test_the_python_version_is_never_unpickled(tmp_path):
    """Fault 18: a folder of pickles is not the binary version; what is inside never runs."""
    canary = tmp_path / "canary"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    with pytest.raises(DataError, match="expected the binary version of CIFAR"):
        read_cifar(folder, CIFAR10)
    assert not canary.exists()


@each_row("content", [b"", b"not a tar file", "half"])
def test_an_archive_that_is_not_whole(content, tmp_path):
    path = fakes.write_cifar_tar(tmp_path / "x.tar.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(DataError):
        read_cifar(path, fakes.TINY["cifar10"])


def test_an_archive_is_unpacked_to_no_more_than_is_wanted(tmp_path):
    path = fakes.write_cifar_tar(tmp_path / "x.tar.gz")
    whole = gzip.decompress(path.read_bytes())
    stranger = tarfile.TarInfo("zeros")
    stranger.size = 2 << 20
    for content in (whole, stranger.tobuf() + bytes(stranger.size) + whole):
        for packed in (content, gzip.compress(content)):
            path.write_bytes(packed)
            if content is whole:
                assert len(read_cifar(path, fakes.TINY["cifar10"]).train) == 50
                continue
            with pytest.raises(DataError, match="unpacks to more than CIFAR has"):
                read_cifar(path, fakes.TINY["cifar10"])


def test_damage_within_the_packed_bytes(tmp_path):
    path = fakes.write_cifar_tar(tmp_path / "x.tar.gz")
    content = bytearray(path.read_bytes())
    content[200:220] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.tar\.gz"):
        read_cifar(path, fakes.TINY["cifar10"])

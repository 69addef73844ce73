"""CIFAR-10 and CIFAR-100 from the binary version: fixed-length records, nothing is unpickled."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bntt.data.samples import DATASETS, Dataset, ImageSet, Published, Splits
from bntt.io.errors import DataError, refusing
from bntt.io.files import read_file

PIXELS = 3 * 32 * 32
BESIDE = 1 << 20
"""Bytes of an archive besides the wanted files: headers, a text, folders."""


@dataclass(frozen=True)
class CifarLayout:
    """Files of a dataset, and the layout of their records."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    """Text file with one class name per line."""
    labels: int
    """Label bytes in front of a record's pixels; the last one is the class."""
    records: int = 10_000
    """Records of the test file; the training files share 50,000."""


CIFAR10 = CifarLayout(
    tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",), "batches.meta.txt", labels=1
)
CIFAR100 = CifarLayout(("train.bin",), ("test.bin",), "fine_label_names.txt", labels=2)


def read_cifar(source: Path, layout: CifarLayout) -> Splits:
    """Read the archive of the binary version, or its unpacked folder; for CIFAR-100 the fine classes."""
    record = PIXELS + layout.labels
    sizes = dict.fromkeys(layout.train, 5 * layout.records // len(layout.train) * record)
    sizes |= dict.fromkeys(layout.test, layout.records * record)
    contents = (_from_tar if source.is_file() else _from_folder)(source, {**sizes, layout.names: 1 << 16})
    for name, content in contents.items():
        if len(content) != sizes.get(name, len(content)):
            raise DataError(f"{source}/{name} has {len(content)} bytes, expected {sizes[name]}: the file is not whole")
    classes = tuple(contents[layout.names].decode("ascii", "replace").split())
    parts = []
    for files in (layout.train, layout.test):
        rows = np.frombuffer(b"".join(contents[name] for name in files), np.uint8).reshape(-1, record)
        images = torch.from_numpy(rows[:, layout.labels :].reshape(-1, 3, 32, 32).copy())
        labels = torch.from_numpy(rows[:, layout.labels - 1].astype(np.int64))
        with refusing(f"{source}, {', '.join(files)}", ValueError):
            parts.append(ImageSet(images, labels, classes))
    return Splits(*parts)


def _from_folder(folder: Path, limits: dict[str, int]) -> dict[str, bytes]:
    if missing := [name for name in limits if not (folder / name).is_file()]:
        raise DataError(f"{folder} has no {missing[0]}: expected the binary version of CIFAR")
    return {name: read_file(folder / name, limit) for name, limit in limits.items()}


def _from_tar(archive: Path, limits: dict[str, int]) -> dict[str, bytes]:
    """Read the wanted members by name, from an archive of bounded size; nothing is extracted to disk."""
    contents: dict[str, bytes] = {}
    with refusing(f"{archive} is not a whole tar archive"), archive.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        most = sum(limits.values()) + BESIDE
        content = (gzip.GzipFile(fileobj=file) if packed else file).read(most + 1)
        if len(content) > most:
            raise DataError(f"{archive} unpacks to more than CIFAR has: it is not read further")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                data = tar.extractfile(member) if name in limits and member.isreg() else None
                if data is not None and name not in contents:
                    contents[name] = data.read(limits[name] + 1)
    if missing := [name for name in limits if name not in contents]:
        raise DataError(f"{archive} has no {', '.join(missing)}: expected the binary version of CIFAR")
    return contents


def _register(classes: int, layout: CifarLayout, folder: str, md5: str, size: int) -> None:
    archive = f"cifar-{classes}-binary.tar.gz"
    dataset = Dataset(
        "images",
        "none stated by its distributor",
        classes=classes,
        shape=(3, 32, 32),
        samples=(50_000, 10_000),
        augment=("crop", "flip"),
        expects=f"{archive} or its folder {folder}",
        read=lambda source, progress: read_cifar(source, layout),
        published=(Published(f"https://www.cs.toronto.edu/~kriz/{archive}", md5, size),),
    )
    DATASETS.add(f"cifar{classes}", dataset)


_register(10, CIFAR10, "cifar-10-batches-bin", "c32a1d4ab5d03f1284b67883e8d87530", 170052171)
_register(100, CIFAR100, "cifar-100-binary", "03b5dce01913d631647c71ecec9e9cb8", 168513733)

"""Tiny datasets in their real file formats; and the real files, where they are."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bntt.data import Splits
from bntt.data.images import CIFAR10, CIFAR100, CifarLayout, read_cifar

WNIDS = ("n02", "n01", "n03")


def real(name: str) -> Path:
    """A file or folder of the folder that BNTT_TEST_DATA names; without it the test is skipped."""
    path = Path(os.environ.get("BNTT_TEST_DATA", "/nonexistent")) / name
    if not path.exists():
        pytest.skip(f"BNTT_TEST_DATA names no folder with {name}")
    return path


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    """Magic number, sizes, values."""
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder: Path, packed: bool = True, train: int = 20, test: int = 10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, count in (("train", train), ("t10k", test)):
        arrays = {"images-idx3": pixels(count, 28, 28, seed=count), "labels-idx1": (np.arange(count) % 10).astype("u1")}
        for name, array in arrays.items():
            path, content = folder / f"{stem}-{name}-ubyte", idx_bytes(array)
            if packed:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
            else:
                path.write_bytes(content)
    return folder


def tiny_layout(layout: CifarLayout) -> CifarLayout:
    """The real layout with 10 test and 50 training records."""
    return CifarLayout(layout.train, layout.test, layout.names, layout.labels, records=10)


def cifar_files(layout: CifarLayout, classes: int) -> dict[str, bytes]:
    files = {layout.names: "".join(f"class{i}\n" for i in range(classes)).encode()}
    for part, names, total in (("train", layout.train, 50), ("test", layout.test, 10)):
        each = total // len(names)
        for number, name in enumerate(names):
            rows = pixels(each, layout.labels + 3072, seed=number + len(part))
            rows[:, layout.labels - 1] = np.arange(each) % classes
            files[name] = rows.tobytes()
    return files


def write_cifar(folder: Path, layout: CifarLayout = CIFAR10, classes: int = 10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in cifar_files(layout, classes).items():
        (folder / name).write_bytes(content)
    return folder


def write_cifar_tar(
    path: Path, layout: CifarLayout = CIFAR10, classes: int = 10, before: Iterable[tarfile.TarInfo] = ()
) -> Path:
    """In an archive, behind other members, whose bytes are zeros."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for member in before:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
        for name, content in cifar_files(layout, classes).items():
            member = tarfile.TarInfo(f"cifar-binary/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def image_bytes(array: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def write_image_folder(root: Path, size: int = 8, channels: int = 3) -> Path:
    for part, count in (("train", 4), ("test", 2)):
        for label in ("cat", "dog"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                shape = (size, size, 3) if channels == 3 else (size, size)
                (folder / f"{i}.png").write_bytes(image_bytes(pixels(*shape, seed=i + len(label))))
    return root


def write_image_zips(root: Path, folder: Path) -> Path:
    """The parts of an image folder as train.zip and test.zip, whatever is in them."""
    root.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        with zipfile.ZipFile(root / f"{part}.zip", "w") as archive:
            for path in sorted((folder / part).rglob("*")):
                archive.write(path, path.relative_to(folder / part))
    return root


def write_one_zip(path: Path, folder: Path) -> Path:
    """Both parts of an image folder in one zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return path


def write_tiny_imagenet(root: Path) -> Path:
    """Three classes of two 16x16 JPEGs, one of them gray; two validation images."""
    root.mkdir(parents=True)
    (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    for wnid in WNIDS:
        folder = root / "train" / wnid / "images"
        folder.mkdir(parents=True)
        for i in range(2):
            shape = (16, 16) if (wnid, i) == ("n01", 1) else (16, 16, 3)
            (folder / f"{wnid}_{i}.JPEG").write_bytes(image_bytes(pixels(*shape, seed=i), "JPEG"))
    images = root / "val" / "images"
    images.mkdir(parents=True)
    rows = []
    for i, wnid in enumerate(("n03", "n02")):
        (images / f"val_{i}.JPEG").write_bytes(image_bytes(pixels(16, 16, 3, seed=9 + i), "JPEG"))
        rows.append(f"val_{i}.JPEG\t{wnid}\t0\t0\t15\t15\n")
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    return root


def read_tiny(name: str) -> Callable[[Path, Callable], Splits]:
    """The registry's way to read CIFAR, for files of 60 records."""
    return lambda source, progress: read_cifar(source, TINY[name])


TINY = {"cifar10": tiny_layout(CIFAR10), "cifar100": tiny_layout(CIFAR100)}


def aedat2_bytes(seed: int, notes: str = "", count: int = 300) -> bytes:
    """AEDAT 2.0 of a DVS128, from the documented layout: big-endian pairs of an address below 2**15 and a time."""
    rng = np.random.default_rng(seed)
    pairs = np.stack([rng.integers(0, 1 << 15, count), np.sort(rng.integers(0, 9000, count))], 1)
    return b"#!AER-DAT2.0\r\n" + notes.encode() + pairs.astype(">u4").tobytes()


def nmnist_bytes(seed: int, count: int = 300) -> bytes:
    """N-MNIST: records of x, y, and three bytes of polarity and time."""
    rng = np.random.default_rng(seed)
    t, p = np.sort(rng.integers(0, 1 << 18, count)), rng.integers(0, 2, count)
    columns = [*rng.integers(0, 34, (2, count)), p << 7 | t >> 16, t >> 8 & 255, t & 255]
    return np.stack(columns, 1).astype("u1").tobytes()


def write_recordings(root: Path, make: Callable[[int], bytes] = aedat2_bytes, ending: str = ".aedat") -> Path:
    """Five recordings of two classes each, every one with other events."""
    for number, label in enumerate(("cat", "dog")):
        (root / label).mkdir(parents=True)
        for i in range(5):
            (root / label / f"{label}_{i}{ending}").write_bytes(make(10 * number + i))
    return root


def write_nmnist(root: Path) -> Path:
    """Train and Test with digits 0 and 1."""
    for part, first in (("Train", 0), ("Test", 50)):
        for digit in (0, 1):
            folder = root / part / str(digit)
            folder.mkdir(parents=True)
            for i in range(2):
                (folder / f"{i:05}.bin").write_bytes(nmnist_bytes(first + 10 * digit + i))
    return root


def npz_bytes(seed: int, count: int = 300) -> bytes:
    """A user's archive of t, x, y and p of a sensor of 60 rows and 80 columns."""
    rng, buffer = np.random.default_rng(seed), io.BytesIO()
    t, x, y = np.sort(rng.integers(0, 9000, count)), rng.integers(0, 80, count), rng.integers(0, 60, count)
    np.savez(buffer, t=t, x=x, y=y, p=rng.integers(0, 2, count))
    return buffer.getvalue()

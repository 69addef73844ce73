"""Tiny datasets in their real file formats."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from bntt.data import Splits
from bntt.data.cifar import CIFAR10, CIFAR100, CifarLayout

WNIDS = ("n02", "n01", "n03")


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


def write_cifar_tar(path: Path, layout: CifarLayout = CIFAR10, classes: int = 10) -> Path:
    with tarfile.open(path, "w:gz") as tar:
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
    """The parts of an image folder as train.zip and test.zip."""
    root.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        with zipfile.ZipFile(root / f"{part}.zip", "w") as archive:
            for path in sorted((folder / part).rglob("*.png")):
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


def read_tiny(read: Callable[[Path, CifarLayout], Splits], name: str) -> Callable[[Path, Callable], Splits]:
    """The catalogue's way to read CIFAR, for files of 60 records."""
    return lambda source, progress: read(source, TINY[name])


TINY = {"cifar10": tiny_layout(CIFAR10), "cifar100": tiny_layout(CIFAR100)}

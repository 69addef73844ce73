"""MNIST and Fashion-MNIST: four IDX files, gzipped or not; and the subset of Fashion-MNIST that is in the wheel."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bntt.data.samples import DATASETS, Dataset, ImageSet, Published, Splits
from bntt.io.errors import DataError, refusing
from bntt.io.files import DEFLATE_MOST, digest

DIGITS = tuple("0123456789")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
STEMS = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE = 8
LARGEST = 1 << 30
"""Most bytes that a file may unpack to: twice the size of the largest file published in this format."""


def read_mnist(folder: Path, classes: tuple[str, ...] = DIGITS) -> Splits:
    """Read the four files ``{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]`` of a folder, with these class names."""
    parts = []
    for stem in STEMS.values():
        images = read_idx(find(folder, f"{stem}-images-idx3-ubyte"), dimensions=3)
        labels = read_idx(find(folder, f"{stem}-labels-idx1-ubyte"), dimensions=1)
        with refusing(f"{folder}/{stem}-*", ValueError):
            parts.append(ImageSet(images.unsqueeze(1), labels.long(), classes))
    return Splits(*parts)


def find(folder: Path, name: str) -> Path:
    """Find the file ``name`` or ``name.gz`` of a folder."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{folder} holds neither {name} nor {name}.gz")


def content_digest(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, unpacked if it is gzipped; empty if it cannot be unpacked."""
    try:
        if path.suffix != ".gz":
            return digest(path)
        with gzip.open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (gzip.BadGzipFile, zlib.error, EOFError):
        return ""


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Read an IDX file of unsigned bytes: two zero bytes, the type, the number of dimensions, the sizes, the values."""
    packed = path.suffix == ".gz"
    opened: io.BufferedIOBase = gzip.open(path, "rb") if packed else path.open("rb")  # noqa: SIM115
    with refusing(f"{path} is not a whole gzip file", gzip.BadGzipFile, zlib.error, EOFError), opened as file:
        header, expected = file.read(4 + 4 * dimensions), bytes((0, 0, UNSIGNED_BYTE, dimensions))
        if len(header) < 4 + 4 * dimensions or header[:4] != expected:
            raise DataError(
                f"{path}: an IDX file of {dimensions} dimensions begins with {expected.hex()}, got {header[:4].hex()}"
            )
        sizes = struct.unpack(f">{dimensions}I", header[4:])
        count, most = math.prod(sizes), min(path.stat().st_size * (DEFLATE_MOST if packed else 1), LARGEST)
        values = file.read(count + 1) if 0 < count <= most else b""
    if not 0 < len(values) == count:
        held = f"1 to {most}" if not values else "more" if len(values) > count else str(len(values))
        raise DataError(f"{path}: its header announces {count} values, the file holds {held}")
    return torch.from_numpy(np.frombuffer(bytearray(values), np.uint8).reshape(sizes))


def fashion_mnist_bundled() -> Splits:
    """Return the bundled images: the first 500 training and 100 test images per class of Fashion-MNIST, 28x28 grey.

    (Zalando SE, MIT licence.)

    >>> data = fashion_mnist_bundled()
    >>> data.train.images.shape, data.test.counts()[:3]
    (torch.Size([5000, 1, 28, 28]), [100, 100, 100])
    """
    with files("bntt.data").joinpath("fashion_mnist.npz").open("rb") as file, np.load(file, allow_pickle=False) as npz:
        parts = []
        for part in ("train", "test"):
            images = torch.from_numpy(npz[f"{part}_images"]).unsqueeze(1)
            parts.append(ImageSet(images, torch.from_numpy(npz[f"{part}_labels"]).long(), FASHION_CLASSES))
    return Splits(*parts)


def _four_files(base: str, *rows: str) -> tuple[Published, ...]:
    """Name the published files; a row has MD5, size, and the unpacked content's SHA-256 if known."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    facts = [(*row.split(), "")[:3] for row in rows]
    files = zip(names, facts, strict=True)
    return tuple(Published(f"{base}/{name}-ubyte.gz", md5, int(size), sha256) for name, (md5, size, sha256) in files)


MNIST = Dataset(
    "images",
    "CC BY-SA 3.0, according to TensorFlow's documentation",
    classes=10,
    shape=(1, 28, 28),
    samples=(60_000, 10_000),
    expects="a folder with the four IDX files, gzipped or not",
    read=lambda source, progress: read_mnist(source),
    published=_four_files(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873 9912422",
        "d53e105ee54ea40749a09fcbcd1e9432 28881",
        "9fb629c4189551a2d022fa330f9573f3 1648877",
        "ec29112dd5afa0611ce80d1b7f02629c 4542",
    ),
)
DATASETS.add("mnist", MNIST)
FASHION_FILES = _four_files(
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d 26421880 c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "25c81989df183df01b3e8a0aad5dffbe 29515 bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "bef4ecab320f06d8554ea6380940ec79 4422102 5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "bb300cfdad3c16e7a12a480ee83cd310 5148 0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
FASHION = replace(
    MNIST,
    licence="MIT",
    augment=("flip",),
    read=lambda source, progress: read_mnist(source, FASHION_CLASSES),
    published=FASHION_FILES,
    usual=(Path("/usr/share/datasets/fashion-mnist"),),
)
DATASETS.add("fashion-mnist", FASHION)
DATASETS.add("fashion-mnist-bundled", replace(FASHION, samples=(5000, 1000), make=fashion_mnist_bundled))

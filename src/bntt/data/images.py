"""Sets of images: CIFAR, MNIST and Fashion-MNIST, folders of image files, Tiny-ImageNet, and an artificial one."""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import io
import math
import mimetypes
import struct
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.data.listing import (
    ListedFile,
    Listing,
    by_class,
    files_below,
    folder_listing,
    listing_digest,
    split_by_name,
    zip_listing,
)
from bntt.data.samples import DATASETS, Dataset, ImageSet, Progress, Published, Splits
from bntt.io.errors import DataError, refusing
from bntt.io.files import DEFLATE_MOST, digest, read_file
from bntt.io.pictures import Fit, brought_to, decoded
from bntt.ops.random import Purpose, sample_keys, uniform

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
LARGEST_IDX = 1 << 30
"""Most bytes that a file may unpack to: twice the size of the largest file published in this format."""


def read_mnist(folder: Path, classes: tuple[str, ...] = tuple("0123456789")) -> Splits:
    """Read the four files ``{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]`` of a folder, with these class names."""
    parts = []
    for stem in ("train", "t10k"):
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
        header, expected = file.read(4 + 4 * dimensions), bytes((0, 0, 8, dimensions))  # 8: unsigned bytes
        if len(header) < 4 + 4 * dimensions or header[:4] != expected:
            begins = f"begins with {expected.hex()}, got {header[:4].hex()}"
            raise DataError(f"{path}: an IDX file of {dimensions} dimensions {begins}")
        sizes = struct.unpack(f">{dimensions}I", header[4:])
        count, most = math.prod(sizes), min(path.stat().st_size * (DEFLATE_MOST if packed else 1), LARGEST_IDX)
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
    with (
        importlib.resources.files("bntt.data").joinpath("fashion_mnist.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as npz,
    ):
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


Mode = Literal["rgb", "gray"]
LARGEST_SIDE = 4096
PARTS = (("train",), ("test", "val"))


def decode(file: ListedFile) -> Tensor:
    """Decode to uint8 ``[C, H, W]`` as :func:`bntt.io.pictures.decoded` does."""
    return torch.from_numpy(decoded(file.read, file.where)[0])


@dataclass(frozen=True)
class Fitting:
    """Conversion of images to one size and mode, by Pillow's bilinear filter, which averages when it shrinks."""

    size: int | None = None
    """Rows and columns; None: as they are."""
    mode: Mode | None = None
    """Mode: gray is ``0.299 R + 0.587 G + 0.114 B`` (Pillow's "L"), gray becomes RGB by repetition; None: as it is."""
    fit: Fit = "crop"
    """How to make a picture square: cut out the middle ("crop"), add black borders ("pad"), or scale each side by
    itself ("stretch")."""

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= self.size <= LARGEST_SIDE:
            raise DataError(f"size must be from 1 to {LARGEST_SIDE:,} pixels, got {self.size:,}")

    def tag(self, name: str) -> str:
        """Return the tag that distinguishes the prepared folder of these images from others of the same dataset."""
        return "-".join(([str(self.size), self.fit] if self.size else []) + ([self.mode] if self.mode else []))

    def applied(self, pixels: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        """Convert an image, uint8 ``[C, H, W]``, to this mode and size; also describe the changes."""
        channels = {None: len(pixels), "gray": 1, "rgb": 3}[self.mode]
        shape = (channels, self.size or pixels.shape[1], self.size or pixels.shape[2])
        made, changes = brought_to(pixels.numpy(), shape, self.fit)
        return torch.from_numpy(made), changes


AS_THEY_ARE = Fitting()


def read_images(root: Path, progress: Progress = lambda done, total: None, fitting: Fitting = AS_THEY_ARE) -> Splits:
    """Read ``train`` and ``test`` (or ``val``), each a folder or a zip of ``<class>/<image>``, or one zip of both.

    A folder of ``<class>/<image>`` alone is split: a tenth of each class, chosen by name, tests.
    """
    if _has_no_parts(root):
        listed = by_class(folder_listing(root), root, _is_image)
        named = {"/".join(parts): file for found in listed.values() for parts, file in found}
        classes, split = tuple(listed), split_by_name(named).values()
        parts = [[(named[one], classes.index(one.partition("/")[0])) for one in part] for part in split]
        return stacked(parts, classes, fitting, progress)
    if not root.is_file() and _place(root, PARTS[0]).resolve() == _place(root, PARTS[1]).resolve():
        raise DataError(f"{root}: train and test are one place: no image would be new in the test")
    both = [by_class(*_part(root, names), _is_image) for names in PARTS]
    classes = tuple(sorted(both[0]))
    if differing := sorted(set(both[0]) ^ set(both[1]))[:5]:
        raise DataError(f"{root}: the classes of train and test differ: {', '.join(differing)}")
    parts = [[(file, label) for label, name in enumerate(classes) for _, file in part[name]] for part in both]
    return stacked(parts, classes, fitting, progress)


def stacked(
    parts: Sequence[Sequence[tuple[ListedFile, int]]], classes: tuple[str, ...], fitting: Fitting, progress: Progress
) -> Splits:
    """Decode the files and labels of two parts, whose images must have one shape."""
    first, sets, done = parts[0][0][0], list[ImageSet](), 0
    shape = fitting.applied(decode(first))[0].shape
    for files in parts:
        images = torch.empty(len(files), *shape, dtype=torch.uint8)
        for row, (file, _) in enumerate(files):
            pixels, _ = fitting.applied(decode(file))
            if pixels.shape != shape:
                sizes = f"is {list(pixels.shape)} (channels, height, width), {first.where} is {list(shape)}"
                raise DataError(f"{file.where} {sizes}: {_help(pixels.shape, shape)}")
            images[row] = pixels
            done += 1
            progress(done, sum(map(len, parts)))
        sets.append(ImageSet(images, torch.tensor([label for _, label in files]), classes))
    return Splits(*sets)


def _help(one: Sequence[int], other: Sequence[int]) -> str:
    keys = ["data.mode (--mode), rgb or gray, makes them one mode"] if one[0] != other[0] else []
    keys += ["data.size (--size), with data.fit, makes them one size"] if list(one[1:]) != list(other[1:]) else []
    return "; ".join(keys)


def fingerprint(root: Path) -> str:
    """Compute a digest of the files' names, sizes and times, without reading the files."""
    places = [root] if root.is_file() or _has_no_parts(root) else [_place(root, names) for names in PARTS]
    return listing_digest(root, [path for p in places for path in ([p] if p.is_file() else files_below(p))])


def _has_no_parts(root: Path) -> bool:
    """Return True for a folder that has class folders alone."""
    names = [name for part in PARTS for name in part]
    return root.is_dir() and not any((root / f"{name}{end}").exists() for name in names for end in ("", ".zip"))


def _is_image(file: ListedFile) -> bool:
    return (mimetypes.guess_type(file.where)[0] or "").startswith("image/")


def _part(root: Path, names: tuple[str, ...]) -> tuple[Listing, Path]:
    if not root.is_file():
        place = _place(root, names)
        return folder_listing(place) if place.is_dir() else zip_listing(place), place
    listing = zip_listing(root)
    for name in names:
        if (inside := listing.inside(name)).files:
            return inside, root / name
    raise DataError(f"{root} has no {' or '.join(names)} folder in it")


def _place(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
        if (root / f"{name}.zip").is_file():
            return root / f"{name}.zip"
    raise DataError(f"{root} has no {' or '.join(names)} folder or zip")


DATASETS.add(
    "images",
    Dataset(
        "images",
        "yours",
        needs=("root",),
        expects="a folder with train and test, each a folder or a zip of <class>/<image>, or one zip of both; or one "
        "folder of <class>/<image>, a tenth of which tests",
        read=read_images,
        fits=True,
    ),
)


def read_tiny_imagenet(root: Path, progress: Progress = lambda done, total: None) -> Splits:
    """Read ``wnids.txt``, ``train/<wnid>/images/*.JPEG``, ``val/images/*.JPEG`` with ``val/val_annotations.txt``."""
    names, annotations = root / "wnids.txt", root / "val" / "val_annotations.txt"
    wnids = sorted(_text(names).split())
    number = {_name(names, wnid): label for label, wnid in enumerate(wnids)}
    training = [
        (ListedFile.at(path), label)
        for wnid, label in number.items()
        for path in _images(root / "train" / wnid / "images")
    ]
    testing = []
    for row, line in enumerate(_text(annotations).splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in number:
            known = f"one of {len(number)} names of wnids.txt"
            raise DataError(f"{annotations}, line {row}: expected <file> and {known}, got {line[:60]!r}")
        path = root / "val" / "images" / _name(annotations, fields[0])
        testing.append((ListedFile.at(path), number[fields[1]]))
    if not testing:
        raise DataError(f"{annotations} names no image")
    return stacked([training, testing], tuple(wnids), Fitting(mode="rgb"), progress)


def _images(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.JPEG"))
    if not found:
        raise DataError(f"{folder} holds no .JPEG file")
    return found


def _name(where: Path, name: str) -> str:
    """Return a name; refuse one that would lead out of its folder, or that no file can have."""
    if Path(name).name != name or len(name) > 200 or not name.isprintable():
        raise DataError(f"{where} names {name[:60]!r}: expected the name of one file")
    return name


def _text(path: Path) -> str:
    with refusing(f"{path} is not text", UnicodeDecodeError):
        return read_file(path).decode("utf-8")


DATASETS.add(
    "tiny-imagenet",
    Dataset(
        "images",
        "ImageNet's terms of access, only for research and education",
        classes=200,
        shape=(3, 64, 64),
        samples=(100_000, 10_000),
        augment=("crop", "flip"),
        expects="the unpacked folder tiny-imagenet-200",
        read=read_tiny_imagenet,
    ),
)


def synthetic(
    *, channels: int = 3, image_size: int = 32, num_classes: int = 10, train: int = 2000, test: int = 500, seed: int = 0
) -> Splits:
    """Return generated square images of any size, which need no file: for trying out a network, and for tests.

    Args:
        channels, image_size: C, and H = W.
        num_classes: K.
        train, test: numbers of images.
        seed: seed of the random images.

    >>> data = synthetic(image_size=8, train=20, test=10)
    >>> data.train.images.shape, data.test.counts()
    (torch.Size([20, 3, 8, 8]), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    """
    keys = sample_keys(seed, Purpose.SYNTHETIC, 0, torch.arange(num_classes))
    coarse = uniform(keys, channels, 4, 4)
    patterns = F.interpolate(coarse, size=(image_size, image_size), mode="bilinear")
    classes = tuple(f"pattern {label}" for label in range(num_classes))
    parts = []
    for draw, count in ((1, train), (2, test)):
        labels = torch.arange(count) % num_classes
        noise = uniform(
            sample_keys(seed, Purpose.SYNTHETIC, draw, torch.arange(count)), channels, image_size, image_size
        )
        pixels = 0.5 * patterns[labels] + 0.5 * noise
        parts.append(ImageSet((pixels * 255).to(torch.uint8), labels, classes))
    return Splits(*parts)


DATASETS.add(
    "synthetic",
    Dataset("images", "none needed", classes=10, shape=(3, 32, 32), samples=(2000, 500), make=synthetic),
)

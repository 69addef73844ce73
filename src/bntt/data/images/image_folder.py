"""Image files: one folder or zip for training and one for test, each with one sub-folder per class."""

from __future__ import annotations

import io
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bntt.data.listing import ListedFile, Listing, files_below, folder_listing, listing_digest, zip_listing
from bntt.data.samples import DATASETS, Dataset, ImageSet, Progress, Splits
from bntt.io.errors import DataError
from bntt.io.pictures import FORMATS, Fit, brought_to, decoded

Mode = Literal["", "rgb", "gray"]
LARGEST = 4096
PARTS = (("train",), ("test", "val"))


def decode(file: ListedFile) -> Tensor:
    """Decode to uint8 ``[C, H, W]`` as :func:`bntt.io.pictures.decoded` does."""
    return torch.from_numpy(decoded(file.read, file.where)[0])


@dataclass(frozen=True)
class Fitting:
    """Conversion of images to one size and mode, by Pillow's bilinear filter, which averages when it shrinks."""

    size: int = 0
    """Rows and columns; 0: as they are."""
    mode: Mode = ""
    """Mode: gray is ``0.299 R + 0.587 G + 0.114 B`` (Pillow's "L"), gray becomes RGB by repetition; "": as it is."""
    fit: Fit = "crop"
    """How to make a picture square: cut out the middle ("crop"), add black borders ("pad"), or scale each side by
    itself ("stretch")."""

    def __post_init__(self) -> None:
        if not 0 <= self.size <= LARGEST:
            raise DataError(f"size must be from 0 to {LARGEST:,} pixels, got {self.size:,}")

    def tag(self, name: str) -> str:
        """Return the tag that distinguishes the prepared folder of these images from others of the same dataset."""
        return "-".join(([str(self.size), self.fit] if self.size else []) + ([self.mode] if self.mode else []))

    def flags(self) -> str:
        """Return the conversion as flags of ``bntt data prepare``."""
        size = [f"--size {self.size} --fit {self.fit}"] if self.size else []
        return " ".join([*size, *([f"--mode {self.mode}"] if self.mode else [])])

    def applied(self, pixels: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        """Convert an image, uint8 ``[C, H, W]``, to this mode and size; also describe the changes."""
        channels = {"": len(pixels), "gray": 1, "rgb": 3}[self.mode]
        shape = (channels, self.size or pixels.shape[1], self.size or pixels.shape[2])
        made, changes = brought_to(pixels.numpy(), shape, self.fit)
        return torch.from_numpy(made), changes


AS_THEY_ARE = Fitting()


def read_images(root: Path, progress: Progress = lambda done, total: None, fitting: Fitting = AS_THEY_ARE) -> Splits:
    """Read ``train`` and ``test`` (or ``val``), each a folder or a zip of ``<class>/<image>``, or one zip of both."""
    if not root.is_file() and _place(root, PARTS[0]).resolve() == _place(root, PARTS[1]).resolve():
        raise DataError(f"{root}: train and test are one place: no image would be new in the test")
    listed = [_by_class(root, names) for names in PARTS]
    classes = tuple(sorted(listed[0]))
    if differing := sorted(set(listed[0]) ^ set(listed[1]))[:5]:
        raise DataError(f"{root}: the classes of train and test differ: {', '.join(differing)}")
    parts = [[(file, label) for label, name in enumerate(classes) for file in part[name]] for part in listed]
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
                raise DataError(
                    f"{file.where} is {list(pixels.shape)} (channels, height, width), {first.where} is {list(shape)}: "
                    f"{_help(pixels.shape, shape)}"
                )
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
    places = [root] if root.is_file() else [_place(root, names) for names in PARTS]
    return listing_digest(root, [path for p in places for path in ([p] if p.is_file() else files_below(p))])


def _by_class(root: Path, names: tuple[str, ...]) -> dict[str, list[ListedFile]]:
    """Return the image files of one part by class, in order of name."""
    place, listing = _part(root, names)
    files, folders = _without_strays(listing, place)
    tops = {parts[0] for parts in (*folders, *(parts for parts, _ in files))}
    if len(tops) == 1 and not any(len(parts) == 2 and _is_image(file) for parts, file in files):
        inner = Listing(  # one folder around all classes
            [(parts[1:], file) for parts, file in files], {parts[1:] for parts in folders if len(parts) > 1}
        )
        if inner.folders:
            place /= tops.pop()
            files, folders = _without_strays(inner, place)
    classes: dict[str, list[ListedFile]] = {parts[0]: [] for parts in sorted(folders)}
    for parts, file in files:
        classes[parts[0]].append(file)
    if not classes:
        raise DataError(f"{place} holds no <class>/<image> file")
    for name, images in classes.items():
        if not images:
            raise DataError(f"{place / name} holds no image: every class needs at least one")
    return classes


def _without_strays(listing: Listing, place: Path) -> Listing:
    """Keep files below folders; an image next to them has no class and is refused, anything else is ignored."""
    for parts, file in listing.files:
        if len(parts) == 1 and _is_image(file):
            raise DataError(f"{file.where} lies beside the class folders of {place}: move it into one of them, or away")
    return Listing([entry for entry in listing.files if len(entry[0]) > 1], listing.folders)


def _is_image(file: ListedFile) -> bool:
    """Return True if a file is an image by its content or its name."""
    from PIL import Image

    if (mimetypes.guess_type(file.where)[0] or "").startswith("image/"):
        return True
    try:
        with Image.open(io.BytesIO(file.read()), formats=FORMATS):
            return True
    except Exception:  # as in decode
        return False


def _part(root: Path, names: tuple[str, ...]) -> tuple[Path, Listing]:
    if not root.is_file():
        place = _place(root, names)
        return place, folder_listing(place) if place.is_dir() else zip_listing(place)
    files, folders = zip_listing(root)
    for name in names:
        inside = [(parts[1:], file) for parts, file in files if parts[0] == name and len(parts) > 1]
        if inside:
            return root / name, Listing(inside, {parts[1:] for parts in folders if parts[0] == name and len(parts) > 1})
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
        expects="a folder with train and test, each a folder or a zip of <class>/<image>, or one zip of both",
        read=read_images,
        fits=True,
    ),
)

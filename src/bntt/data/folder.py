"""Image files: a folder or a zip with one sub-folder a class, for training and test each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bntt.data.errors import DataError
from bntt.data.images import ImageSet, Splits

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
LARGEST = 1 << 26
"""Bytes of one image file, and pixels of one image."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageFile:
    """One image, not yet read."""

    where: str
    """For messages: the file, or archive and member."""
    read: Callable[[], bytes]


def read_images(root: Path, progress: Progress = lambda done, total: None) -> Splits:
    """A folder with ``train`` and ``test`` (or ``val``), each a folder or a zip of ``<class>/<image>``.

    All images must have one size; classes are the folders' names in order, the same for both parts.

    Raises:
        DataError: naming the file that is missing, damaged, of another size, or of a mode that is not gray or RGB.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: expected one with train and test, each a folder or a zip")
    parts = [_members(_part(root, names)) for names in (("train",), ("test", "val"))]
    classes = tuple(sorted(parts[0]))
    if classes != tuple(sorted(parts[1])):
        differing = sorted(set(parts[0]) ^ set(parts[1]))
        raise DataError(f"{root}: the classes of train and test differ: {', '.join(differing[:5])}")
    total = sum(len(files) for part in parts for files in part.values())
    done = 0
    sets: list[ImageSet] = []
    for part in parts:
        files = [(file, label) for label, name in enumerate(classes) for file in part[name]]
        images = None
        for row, (file, _) in enumerate(files):
            pixels = decode(file)
            if images is None:
                images = torch.empty(len(files), *pixels.shape, dtype=torch.uint8)
                first = file.where
            if pixels.shape != images.shape[1:]:
                raise DataError(
                    f"{file.where} is {list(pixels.shape)} (channels, height, width), {first} is "
                    f"{list(images.shape[1:])}: all images must have one size; scale them first"
                )
            images[row] = pixels
            done += 1
            progress(done, total)
        assert images is not None  # every class has a file: _members refuses an empty one
        sets.append(ImageSet(images, torch.tensor([label for _, label in files]), classes))
    if sets[0].images.shape[1:] != sets[1].images.shape[1:]:
        shapes = [list(part.images.shape[1:]) for part in sets]
        raise DataError(f"{root}: training images are {shapes[0]}, test images {shapes[1]}: they must have one size")
    return Splits(*sets)


def decode(file: ImageFile) -> Tensor:
    """uint8 ``[C, H, W]``: gray has one channel, RGB (or a palette) three. Nothing truncated is accepted.

    Raises:
        DataError: naming the file.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        content = file.read()
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > LARGEST:
                raise DataError(f"{file.where} has {image.width}x{image.height} pixels, more than {LARGEST}")
            if image.mode not in ("L", "RGB", "P", "1"):
                raise DataError(f"{file.where} has mode {image.mode}: only 8-bit gray and RGB images are read")
            pixels = np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        reason = "not an image file" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{file.where} cannot be decoded ({reason})") from None
    return torch.from_numpy(pixels.copy()).reshape(*pixels.shape[:2], -1).permute(2, 0, 1)


def _part(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        for path in (root / name, root / f"{name}.zip"):
            if path.exists():
                return path
    raise DataError(f"{root} has no {' or '.join(names)} folder or zip")


def _members(part: Path) -> dict[str, list[ImageFile]]:
    """Image files by class, in order of name."""
    classes: dict[str, list[ImageFile]] = {}
    for label, file in _zip_files(part) if part.is_file() else _folder_files(part):
        classes.setdefault(label, []).append(file)
    if not classes:
        raise DataError(f"{part} holds no <class>/<image> file ({', '.join(sorted(SUFFIXES))})")
    return classes


def _folder_files(part: Path) -> Iterator[tuple[str, ImageFile]]:
    for folder in sorted(path for path in part.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{folder} holds no image: every class needs at least one")
        for path in files:
            yield folder.name, ImageFile(str(path), path.read_bytes)


def _zip_files(archive: Path) -> Iterator[tuple[str, ImageFile]]:
    """Members read in memory by name, bounded in size; nothing is extracted."""
    try:
        reader = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is not a whole zip file: {error}") from None
    for info in sorted(reader.infolist(), key=lambda info: info.filename):
        path = Path(info.filename)
        if info.is_dir() or path.suffix.lower() not in SUFFIXES or len(path.parts) < 2:
            continue
        where = f"{archive}:{info.filename}"
        if info.file_size > LARGEST:
            raise DataError(f"{where} unpacks to {info.file_size} bytes, more than {LARGEST}")
        yield path.parts[-2], ImageFile(where, lambda info=info: reader.read(info))  # type: ignore[misc]

"""Image files: a folder or a zip with one sub-folder a class, for training and test each."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from bntt.data.errors import DataError
from bntt.data.images import ImageSet, Splits

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
LARGEST = 1 << 26
"""Bytes of one image file, and pixels of one image."""
PARTS = (("train",), ("test", "val"))
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageFile:
    """One image, not yet read."""

    where: str
    """For messages: the file, or archive and member."""
    read: Callable[[], bytes]


Entries = list[tuple[tuple[str, ...], ImageFile]]
"""Path components below the place that was listed, and the file; in order of path."""


def read_images(root: Path, progress: Progress = lambda done, total: None) -> Splits:
    """``train`` and ``test`` (or ``val``), each ``<class>/<image>``: a folder of folders, of zips, or one zip of all.

    All images must have one size; classes are the first folders' names in order, the same for both parts.

    Raises:
        DataError: naming the file that is missing, damaged, of another size, or of a mode that is not gray or RGB.
    """
    listed = [_by_class(root, names) for names in PARTS]
    classes = tuple(sorted(listed[0]))
    if classes != tuple(sorted(listed[1])):
        differing = sorted(set(listed[0]) ^ set(listed[1]))
        raise DataError(f"{root}: the classes of train and test differ: {', '.join(differing[:5])}")
    total = sum(len(files) for part in listed for files in part.values())
    done, sets = 0, []
    for part in listed:
        files = [(file, label) for label, name in enumerate(classes) for file in part[name]]
        first = decode(files[0][0])
        images = torch.empty(len(files), *first.shape, dtype=torch.uint8)
        for row, (file, _) in enumerate(files):
            pixels = decode(file)
            if pixels.shape != first.shape:
                raise DataError(
                    f"{file.where} is {list(pixels.shape)} (channels, height, width), {files[0][0].where} is "
                    f"{list(first.shape)}: all images must have one size; scale them first"
                )
            images[row] = pixels
            done += 1
            progress(done, total)
        sets.append(ImageSet(images, torch.tensor([label for _, label in files]), classes))
    if sets[0].images.shape[1:] != sets[1].images.shape[1:]:
        shapes = [list(part.images.shape[1:]) for part in sets]
        raise DataError(f"{root}: training images are {shapes[0]}, test images {shapes[1]}: they must have one size")
    return Splits(*sets)


def fingerprint(root: Path) -> str:
    """A digest of the names, sizes and times of all files of a place: it changes when they do, without reading them."""
    paths = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    rows = [f"{p.relative_to(root)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def decode(file: ImageFile) -> Tensor:
    """uint8 ``[C, H, W]``: gray has one channel, RGB (or a palette) three. Nothing truncated is accepted.

    Raises:
        DataError: naming the file.
    """
    from PIL import Image, UnidentifiedImageError

    damaged = (OSError, SyntaxError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
    try:
        content = file.read()
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > LARGEST:
                raise DataError(f"{file.where} has {image.width}x{image.height} pixels, more than {LARGEST}")
            if image.mode not in ("L", "RGB", "P", "1"):
                raise DataError(f"{file.where} has mode {image.mode}: only 8-bit gray and RGB images are read")
            pixels = np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"))
    except (*damaged, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        reason = "not an image file" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{file.where} cannot be decoded ({reason})") from None
    return torch.from_numpy(pixels.copy()).reshape(*pixels.shape[:2], -1).permute(2, 0, 1)


def _by_class(root: Path, names: tuple[str, ...]) -> dict[str, list[ImageFile]]:
    """The image files of one part by class, in order of name."""
    place, entries = _part(root, names)
    if entries and len({parts[0] for parts, _ in entries}) == 1 and all(len(parts) > 2 for parts, _ in entries):
        entries = [(parts[1:], file) for parts, file in entries]  # one folder around all classes
    classes: dict[str, list[ImageFile]] = {}
    for parts, file in entries:
        if len(parts) > 1:
            classes.setdefault(parts[0], []).append(file)
    if not classes:
        raise DataError(f"{place} holds no <class>/<image> file ({', '.join(sorted(SUFFIXES))})")
    if place.is_dir():
        for folder in place.iterdir():
            if folder.is_dir() and folder.name not in classes and not folder.name.startswith((".", "__")):
                raise DataError(f"{folder} holds no image: every class needs at least one")
    return classes


def _part(root: Path, names: tuple[str, ...]) -> tuple[Path, Entries]:
    """Where a part is, and its entries."""
    if root.is_file():
        entries = _zip_entries(root)
        for name in names:
            inside = [(parts[1:], file) for parts, file in entries if parts[0] == name]
            if inside:
                return root, inside
        raise DataError(f"{root} has no {' or '.join(names)} folder in it")
    for name in names:
        if (root / name).is_dir():
            return root / name, _folder_entries(root / name)
        if (root / f"{name}.zip").is_file():
            return root / f"{name}.zip", _zip_entries(root / f"{name}.zip")
    raise DataError(f"{root} has no {' or '.join(names)} folder or zip")


def _wanted(parts: tuple[str, ...]) -> bool:
    """Image files, but not what systems leave beside them."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES


def _folder_entries(folder: Path) -> Entries:
    listed = [(path.relative_to(folder).parts, path) for path in folder.rglob("*") if path.is_file()]
    return [(parts, ImageFile(str(path), path.read_bytes)) for parts, path in sorted(listed) if _wanted(parts)]


def _zip_entries(archive: Path) -> Entries:
    """Members read in memory by name, bounded in size; nothing is extracted."""
    try:
        reader = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is not a whole zip file: {error}") from None
    entries: Entries = []
    for info in sorted(reader.infolist(), key=lambda info: info.filename):
        parts = tuple(part for part in PurePosixPath(info.filename).parts if part not in ("/", ".."))
        if info.is_dir() or not parts or not _wanted(parts):
            continue
        where = f"{archive}:{info.filename}"
        if info.file_size > LARGEST:
            raise DataError(f"{where} unpacks to {info.file_size} bytes, more than {LARGEST}")
        entries.append((parts, ImageFile(where, lambda info=info: reader.read(info))))  # type: ignore[misc]
    return entries

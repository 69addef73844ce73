"""Image files: a folder or a zip with one sub-folder a class, for training and test each."""

from __future__ import annotations

import io
import mimetypes
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bntt.data.errors import DataError
from bntt.data.images.exif import Seen, orientation_of, upright, why_refused
from bntt.data.images.image_set import ImageSet, Splits
from bntt.data.zip_members import check_members
from bntt.io.files import digest_of_text

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
"""What Pillow may open: no other of its readers sees a byte, least of all those that start programs."""
JUNK = {"thumbs.db", "desktop.ini", "__macosx"}
"""What systems leave beside images, in lower case; hidden files are passed over as well."""
LARGEST = 1 << 26
"""Bytes of one image file."""
PIXELS = 1 << 25
"""Of one image: reading it takes about eleven bytes for each."""
PARTS = (("train",), ("test", "val"))
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageFile:
    """One image, not yet read."""

    where: str
    """For messages: the file, or archive and member."""
    read: Callable[[], bytes]


Entry = tuple[tuple[str, ...], ImageFile]
"""Path components below the place that was listed, and the file."""


class Listing(NamedTuple):
    """What lies in a folder or a zip, in order of path, without what systems leave there."""

    files: list[Entry]
    folders: set[tuple[str, ...]]


def read_images(root: Path, progress: Progress = lambda done, total: None) -> Splits:
    """``train`` and ``test`` (or ``val``), each ``<class>/<image>``: a folder of folders, of zips, or one zip of all.

    All images must have one size; classes are the first folders' names in order, the same for both parts. Links are
    followed. Every file within a class is read, whatever its name ends in, but for hidden files and those in ``JUNK``.

    Raises:
        DataError: naming the file that is missing, damaged, no image, of another size, of a mode that is not gray or
            RGB, or beside the class folders; or the link that leads nowhere or back to where it is.
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
    """A digest of the names, sizes and times of the files that are read: it changes when they do, without reading."""
    places = [root] if root.is_file() else [_place(root, names) for names in PARTS]
    return listing_digest(root, [path for p in places for path in ([p] if p.is_file() else _files_below(p))])


def listing_digest(root: Path, paths: Iterable[Path]) -> str:
    """A digest of names below ``root``, sizes and times."""
    rows = [f"{p.relative_to(root)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths]
    return digest_of_text("\n".join(rows))


def decode(file: ImageFile) -> Tensor:
    """uint8 ``[C, H, W]``, upright: gray has one channel, RGB (or a palette) three. Nothing truncated is accepted.

    Raises:
        DataError: naming the file.
    """
    return decode_as_seen(file).pixels


def decode_as_seen(file: ImageFile) -> Seen:
    """The pixels of :func:`decode`, turned as the file's EXIF orientation asks, and that orientation.

    Raises:
        DataError: naming the file, if it is no whole, opaque, 8-bit gray or RGB image, too large, or one of several.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(file.read()), formats=FORMATS) as image:
            if image.width * image.height > PIXELS:
                raise DataError(f"{file.where} has {image.width}x{image.height} pixels, more than {PIXELS}")
            count = getattr(image, "n_frames", 1)
            if count > 1 and image.format != "MPO":  # MPO: a JPEG with previews of itself
                raise DataError(f"{file.where} holds {count} images: one a file is read")
            if why := why_refused(image):
                raise DataError(f"{file.where} has mode {why}: only 8-bit gray and RGB images are read")
            orientation, mode = orientation_of(image), "L" if image.mode in ("L", "1") else "RGB"
            seen = upright(image)
            pixels = np.asarray(seen if seen.mode == mode else seen.convert(mode))
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(
            f"{file.where} cannot be decoded (no image of the formats {', '.join(FORMATS)}): "
            f"convert it, or move it away"
        ) from None
    except Exception as error:  # foreign bytes make decoders fail in every way
        raise DataError(f"{file.where} cannot be decoded ({error}): repair it, or remove it") from None
    return Seen(torch.from_numpy(pixels.copy()).reshape(*pixels.shape[:2], -1).permute(2, 0, 1), orientation)


def file_at(path: Path) -> ImageFile:
    """The file at this place, not yet read."""
    return ImageFile(str(path), lambda: _read_file(path))


def _by_class(root: Path, names: tuple[str, ...]) -> dict[str, list[ImageFile]]:
    """The image files of one part by class, in order of name."""
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
    classes: dict[str, list[ImageFile]] = {parts[0]: [] for parts in sorted(folders)}
    for parts, file in files:
        classes[parts[0]].append(file)
    if not classes:
        raise DataError(f"{place} holds no <class>/<image> file")
    for name, images in classes.items():
        if not images:
            raise DataError(f"{place / name} holds no image: every class needs at least one")
    return classes


def _without_strays(listing: Listing, place: Path) -> Listing:
    """Files below folders alone; an image beside the folders would belong to no class, anything else is no matter."""
    for parts, file in listing.files:
        if len(parts) == 1 and _is_image(file):
            raise DataError(f"{file.where} lies beside the class folders of {place}: move it into one of them, or away")
    return Listing([entry for entry in listing.files if len(entry[0]) > 1], listing.folders)


def _is_image(file: ImageFile) -> bool:
    """Whether a file is an image by its content, or says so by its name."""
    from PIL import Image

    if (mimetypes.guess_type(file.where)[0] or "").startswith("image/"):
        return True
    try:
        with Image.open(io.BytesIO(file.read()), formats=FORMATS):
            return True
    except Exception:  # as in decode
        return False


def _part(root: Path, names: tuple[str, ...]) -> tuple[Path, Listing]:
    """Where a part is, and what it holds."""
    if not root.is_file():
        place = _place(root, names)
        return place, folder_listing(place) if place.is_dir() else _zip_listing(place)
    files, folders = _zip_listing(root)
    for name in names:
        inside = [(parts[1:], file) for parts, file in files if parts[0] == name and len(parts) > 1]
        if inside:
            return root / name, Listing(inside, {parts[1:] for parts in folders if parts[0] == name and len(parts) > 1})
    raise DataError(f"{root} has no {' or '.join(names)} folder in it")


def _place(root: Path, names: tuple[str, ...]) -> Path:
    """The folder or the zip of one part."""
    for name in names:
        if (root / name).is_dir():
            return root / name
        if (root / f"{name}.zip").is_file():
            return root / f"{name}.zip"
    raise DataError(f"{root} has no {' or '.join(names)} folder or zip")


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def folder_listing(folder: Path) -> Listing:
    """Every file and folder below this one, through links too.

    Raises:
        DataError: naming the link that leads nowhere or back to where it is, or what is neither file nor folder.
    """
    files, folders = list[Entry](), set[tuple[str, ...]]()
    for path in _below(folder):
        parts = path.relative_to(folder).parts
        if path.is_dir():
            folders.add(parts)
        else:
            files.append((parts, file_at(path)))
    return Listing(sorted(files, key=lambda entry: entry[0]), folders)


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in _below(folder) if not path.is_dir())


def _below(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """Every file and folder, through links too. ``above``: the folders around this one, by device and inode."""
    try:
        facts, found = folder.stat(), sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error}") from None
    here = (facts.st_dev, facts.st_ino)
    if here in above:
        raise DataError(f"{folder} is a link to {folder.resolve()}, a folder that it lies in: remove the link")
    for path in found:
        if _is_junk(path.name):
            continue
        if path.is_dir():
            yield path
            yield from _below(path, (*above, here))
        elif path.is_file():
            yield path
        elif path.is_symlink():
            raise DataError(f"{path} is a link that leads nowhere ({os.readlink(path)}): mend it, or remove it")
        else:
            raise DataError(f"{path} is neither a file nor a folder: remove it")


def _read_file(path: Path) -> bytes:
    _check_size(str(path), path.stat().st_size)
    return path.read_bytes()


def _check_size(where: str, size: int) -> None:
    if size > LARGEST:
        raise DataError(f"{where} has {size} bytes, more than {LARGEST}: it is no image that can be read here")


def _zip_listing(archive: Path) -> Listing:
    """Members read in memory by name, bounded in size; nothing is extracted."""
    check_members(archive)
    try:
        reader = zipfile.ZipFile(archive)
    except Exception as error:  # of foreign bytes, whatever they come to in the standard library
        raise DataError(f"{archive} is not a whole zip file: {error or type(error).__name__}") from None
    check_members(archive, len(reader.infolist()))

    def read(info: zipfile.ZipInfo) -> bytes:
        _check_size(f"{archive}:{info.filename}", max(info.file_size, info.compress_size))
        return reader.read(info)

    files, folders = list[Entry](), set[tuple[str, ...]]()
    for info in sorted(reader.infolist(), key=lambda info: info.filename):
        parts = tuple(part for part in PurePosixPath(info.filename).parts if part not in ("/", ".."))
        if not parts or any(map(_is_junk, parts)):
            continue
        folders |= {parts[:depth] for depth in range(1, len(parts) + info.is_dir())}
        if not info.is_dir():
            files.append((parts, ImageFile(f"{archive}:{info.filename}", lambda info=info: read(info))))  # type: ignore[misc]
    return Listing(files, folders)

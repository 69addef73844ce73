"""The content of a folder or a zip: every file below it, by name, with nothing unpacked."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bntt.io.errors import DataError, refusing
from bntt.io.files import digest_of_text, read_file
from bntt.io.pictures import LARGEST

JUNK = {"thumbs.db", "desktop.ini", "__macosx"}
"""Files that operating systems leave next to images, in lower case; hidden files are skipped as well."""
MOST = 500_000
"""Most members of a zip; Tiny-ImageNet has 120,206."""
END = struct.Struct("<4s6xH10x")
"""End record of a zip without a comment: its number of members, 65,535 if there are more."""
LONG_END = struct.Struct("<4s28xQ16x4s16x")
"""Records before the end of a zip with more members: the record with their number, and the pointer to it."""


@dataclass(frozen=True)
class ListedFile:
    """One file, not yet read."""

    where: str
    """Name in messages: the file, or archive and member."""
    read: Callable[[], bytes]

    @classmethod
    def at(cls, path: Path) -> ListedFile:
        """Return the file at this place."""
        return cls(str(path), partial(read_file, path, LARGEST))


Entry = tuple[tuple[str, ...], ListedFile]
"""Path components below the listed place, and the file."""


class Listing(NamedTuple):
    """Content of a folder or a zip, in order of path, without the files that operating systems leave there."""

    files: list[Entry]
    folders: set[tuple[str, ...]]


def folder_listing(folder: Path) -> Listing:
    """List every file and folder below this one, through links too."""
    files, folders = list[Entry](), set[tuple[str, ...]]()
    for path in _below(folder):
        parts = path.relative_to(folder).parts
        if path.is_dir():
            folders.add(parts)
        else:
            files.append((parts, ListedFile.at(path)))
    return Listing(sorted(files, key=lambda entry: entry[0]), folders)


def files_below(folder: Path) -> list[Path]:
    """List the files in a folder and its sub-folders, in order."""
    return sorted(path for path in _below(folder) if not path.is_dir())


def _below(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """Yield every file and folder, through links too. ``above``: its parent folders, by device and inode."""
    try:
        facts, found = folder.stat(), sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error}") from None
    here = (facts.st_dev, facts.st_ino)
    if here in above:
        raise DataError(f"{folder} is a link to {folder.resolve()}, a folder that it lies in: remove the link")
    for path in found:
        if is_junk(path.name):
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


def listing_digest(root: Path, paths: Iterable[Path]) -> str:
    """Compute a digest of the files' names below ``root``, sizes and times."""
    rows = [f"{p.relative_to(root)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths]
    return digest_of_text("\n".join(rows))


def is_junk(name: str) -> bool:
    """Return True for files that operating systems leave, and for hidden files."""
    return name.startswith(".") or name.lower() in JUNK


def zip_listing(archive: Path) -> Listing:
    """List the members of a zip by name, to be read in memory, bounded in size; nothing is extracted."""
    check_members(archive)
    with refusing(f"{archive} is not a whole zip file"):
        reader = zipfile.ZipFile(archive)
    check_members(archive, len(reader.infolist()))

    def read(info: zipfile.ZipInfo) -> bytes:
        if (size := max(info.file_size, info.compress_size)) > LARGEST:
            raise DataError(f"{archive}:{info.filename} has {size:,} bytes, at most {LARGEST:,} are read")
        return reader.read(info)

    files, folders = list[Entry](), set[tuple[str, ...]]()
    last = {info.filename: info for info in reader.infolist()}  # of two with one name the last, as when unpacked
    for info in sorted(last.values(), key=lambda info: info.filename):
        parts = tuple(part for part in PurePosixPath(info.filename).parts if part not in ("/", ".."))
        if not parts or any(map(is_junk, parts)):
            continue
        folders |= {parts[:depth] for depth in range(1, len(parts) + info.is_dir())}
        if not info.is_dir():
            files.append((parts, ListedFile(f"{archive}:{info.filename}", lambda info=info: read(info))))  # type: ignore[misc]
    return Listing(files, folders)


def check_members(archive: Path, count: int | None = None) -> None:
    """Refuse a zip with more than :data:`MOST` members: ``count``, or by default the number in its last bytes."""
    members = announced(archive) if count is None else count
    if members > MOST:
        raise DataError(f"{archive} has {members:,} members, more than the {MOST:,} that are read")


def announced(archive: Path) -> int:
    """Return the number of members stated at the end of a zip; 0 if it states none."""
    with archive.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END.size - LONG_END.size))
        last = file.read()
    if len(last) < END.size:
        return 0
    mark, count = END.unpack(last[-END.size :])
    if len(last) == END.size + LONG_END.size:
        record, many, pointer = LONG_END.unpack(last[: LONG_END.size])
        if (record, pointer) == (b"PK\6\6", b"PK\6\7"):
            count = many
    return count if mark == b"PK\5\6" else 0

"""The content of a folder or a zip: every file below it, by name, with nothing unpacked."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bntt.io.errors import DataError, refusing
from bntt.io.files import digest_of_text, read_file
from bntt.io.pictures import LARGEST

TEST_SHARE = 0.1
"""Share of each class that tests, where files come without a split."""

JUNK = {"thumbs.db", "desktop.ini", "__macosx"}
"""Files that operating systems leave next to images, in lower case; hidden files are skipped as well."""
MOST = 500_000
"""Most members of a zip; Tiny-ImageNet has 120,206."""


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

    def inside(self, top: str) -> Listing:
        """Return the content of one of its folders."""
        files = [(parts[1:], file) for parts, file in self.files if parts[0] == top and len(parts) > 1]
        return Listing(files, {parts[1:] for parts in self.folders if parts[0] == top and len(parts) > 1})

    def around(self, wanted: Callable[[ListedFile], bool]) -> str:
        """Return the name of the one folder around those of the classes, "" if there is none."""
        tops, inner = {parts[0] for parts in self.folders}, any(len(parts) > 1 for parts in self.folders)
        alone = len(tops) == 1 and inner and not any(len(parts) == 2 and wanted(file) for parts, file in self.files)
        return tops.pop() if alone else ""


def by_class(listing: Listing, place: Path, wanted: Callable[[ListedFile], bool]) -> dict[str, list[Entry]]:
    """Return the files below the folder of each class; beside them, other files than wanted ones are left out."""
    for top in (listing.around(wanted), ""):
        if beside := [file.where for parts, file in listing.files if len(parts) == 1 and wanted(file)]:
            raise DataError(f"{beside[0]} lies beside the class folders of {place}: move it into one of them, or away")
        if top:
            listing, place = listing.inside(top), place / top
    classes: dict[str, list[Entry]] = {parts[0]: [] for parts in sorted(listing.folders)}
    for parts, file in listing.files:
        if len(parts) > 1:
            classes[parts[0]].append((parts, file))
    if empty := [name for name, files in classes.items() if not files] or [""] * (not classes):
        raise DataError(f"{place / empty[0]} holds no file: expected one or more in the folder of every class")
    return classes


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
        else:
            what = "a link that leads nowhere" if path.is_symlink() else "neither a file nor a folder"
            raise DataError(f"{path} is {what}: mend it, or remove it")


def listing_digest(root: Path, paths: Iterable[Path]) -> str:
    """Compute a digest of the files' names below ``root``, sizes and times."""
    rows = [f"{p.relative_to(root)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths]
    return digest_of_text("\n".join(rows))


def is_junk(name: str) -> bool:
    """Return True for files that operating systems leave, and for hidden files."""
    return name.startswith(".") or name.lower() in JUNK


def zip_listing(archive: Path) -> Listing:
    """List the members of a zip by name, to be read in memory, bounded in size; nothing is extracted."""
    with refusing(f"{archive} is not a whole zip file"):
        reader = zipfile.ZipFile(archive)
    if (count := len(reader.infolist())) > MOST:
        raise DataError(f"{archive} has {count:,} members, more than the {MOST:,} that are read")

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


def split_by_name(names: Iterable[str]) -> dict[str, list[str]]:
    """Choose the same share of every class for testing: the names, without endings, of the lowest SHA-256."""
    classes = defaultdict[str, list[str]](list)
    for name in sorted(names):
        classes[name.partition("/")[0]].append(name)
    test = set[str]()
    for label, members in classes.items():
        if len(members) < 2:
            raise DataError(f"class {label} has one file: training and test need one each")
        test |= set(sorted(members, key=digest_of_text)[: max(1, round(len(members) * TEST_SHARE))])
    every = [name for members in classes.values() for name in members]
    return {"train": [name for name in every if name not in test], "test": [name for name in every if name in test]}

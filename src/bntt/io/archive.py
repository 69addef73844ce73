"""Archives ``NAME.tar.xz`` with ``SHA256SUMS`` beside them, or inside one for another machine; checked before use."""

from __future__ import annotations

import atexit
import io
import lzma
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from bntt.io.checkpoint import CheckpointError
from bntt.io.errors import refusing
from bntt.io.files import digest_of_bytes, read_file, write_whole

SUFFIX = ".tar.xz"
SUMS = "SHA256SUMS"
LARGEST = 1 << 29
Files = Iterable[tuple[str, bytes]]
_UNPACKED: dict[tuple[Path, str], Path] = {}
"""Folders of archives that this process has unpacked, by their checksums; removed when it ends."""


def archives_in(folder: Path) -> list[Path]:
    """List the archives of a folder, by name."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def pack(path: Path, files: Mapping[str, bytes]) -> None:
    """Write an archive of files by their names, and its checksum into ``SHA256SUMS`` beside it."""
    payload = _compressed(files)
    write_whole(path, payload)
    sums = _sums(path.parent) | {path.name: digest_of_bytes(payload)}
    listed = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    write_whole(path.parent / SUMS, listed.encode("utf-8", "surrogateescape"))


def read_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file of an archive whose checksum is listed beside it."""
    payload, expected = read_file(path, error=CheckpointError), _sums(path.parent).get(path.name)
    if digest_of_bytes(payload) != expected:
        wrong = f"its SHA-256 is not the one in {SUMS}" if expected else f"{SUMS} beside it does not list it"
        raise CheckpointError(f"{path} is damaged or was replaced: {wrong}; fetch it again, or delete it and pack anew")
    yield from _members(path, payload)


def unpacked(folder: Path) -> Path:
    """Unpack all archives of a folder, once per process, into a temporary folder that lasts as long as it."""
    sums = folder / SUMS
    key = (folder.resolve(), digest_of_bytes(sums.read_bytes()) if sums.is_file() else "")
    if key not in _UNPACKED:
        target = Path(tempfile.mkdtemp(prefix="bntt-"))
        atexit.register(shutil.rmtree, target, ignore_errors=True)
        for archive in archives_in(folder):
            _write(target, archive, read_archive(archive))
        _UNPACKED[key] = target
    return _UNPACKED[key]


def packed_place(path: Path) -> Path | None:
    """Return the place beside its archive that an unpacked path stands for, ``FOLDER/NAME``; None for other paths."""
    for (folder, _), target in _UNPACKED.items():
        if path.is_relative_to(target):
            here = Path.cwd().resolve()
            shown = folder.relative_to(here) if folder.is_relative_to(here) else Path(folder.name)
            return shown / path.relative_to(target)
    return None


def _write(target: Path, archive: Path, files: Files) -> None:
    """Write the files of an archive below a folder, and refuse names that cannot lie there."""
    for name, content in files:
        file, what = target / name, f"{archive}: {name[:40]!r}, a name of {len(name)} characters, cannot be unpacked"
        with refusing(what, OSError, remedy="make room, or pack it again under a shorter name", error=CheckpointError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def _compressed(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            if not _is_inside(name):
                raise CheckpointError(f"{name!r} is no name for a file in an archive of every system: rename its run")
            member = tarfile.TarInfo(name)  # mode 0644, owner 0, time 0
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return lzma.compress(content.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def _is_inside(name: str) -> bool:
    """Return True if every operating system can unpack a file of this name, and below the folder that it is told."""
    parts, drive = PurePosixPath(name).parts, PureWindowsPath(name).drive
    return bool(parts) and not (name.startswith("/") or ".." in parts or drive or {*name} & {"\n", "\0", "\\"})


def _members(path: Path, payload: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an archive; refuse members that are not files or would be unpacked elsewhere."""
    left, damage = LARGEST, (tarfile.TarError, lzma.LZMAError, EOFError)
    with (
        refusing(f"{path} is no archive that can be read", *damage, remedy="fetch it again", error=CheckpointError),
        tarfile.open(fileobj=io.BytesIO(payload), mode="r:xz") as archive,
    ):
        for member in archive:
            left -= member.size
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or not _is_inside(member.name) or left < 0:
                raise CheckpointError(f"{path} holds {member.name!r}, which no archive of results has: fetch it again")
            yield str(PurePosixPath(member.name)), content.read()


def _sums(folder: Path) -> dict[str, str]:
    """Read checksums by name."""
    try:
        content = (folder / SUMS).read_bytes()
    except OSError:
        return {}
    lines = content.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n")
    pairs = (line.partition("  ") for line in lines)
    return {name: digest for digest, gap, name in pairs if gap}

"""How many members a zip announces: names of a million take long to read, and are those of no dataset here."""

from __future__ import annotations

import struct
from pathlib import Path

from bntt.data.errors import DataError

MOST = 500_000
"""Tiny-ImageNet has 120,206."""
END = struct.Struct("<4s6xH10x")
"""What a zip ends with, where no comment follows: its number of members, 65,535 where they are more."""
LONG_END = struct.Struct("<4s28xQ16x4s16x")
"""Before that, of a zip with more: the record with their number, and the pointer to it."""


def check_members(archive: Path, count: int | None = None) -> None:
    """Refuse a zip of more members than :data:`MOST`, by its last bytes, or by their number where that is known.

    A zip that ends otherwise passes: its members are counted once they are read.

    Raises:
        DataError: naming the archive.

    >>> import tempfile, zipfile
    >>> path = Path(tempfile.mkdtemp()) / "x.zip"
    >>> with zipfile.ZipFile(path, "w") as archive:
    ...     archive.writestr("cat/1.png", b"")
    >>> check_members(path)
    """
    members = announced(archive) if count is None else count
    if members > MOST:
        raise DataError(f"{archive} has {members:,} members, more than the {MOST:,} that are read")


def announced(archive: Path) -> int:
    """The number of members that a zip's end tells; 0 where it tells none."""
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

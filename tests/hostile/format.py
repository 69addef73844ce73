"""A format as the fuzzer knows it: whole files, how one is put where it is read, and the error that may come."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path


def as_file(name: str) -> Callable[[Path, bytes], Path]:
    """Write the one file of this name."""

    def put(folder: Path, content: bytes) -> Path:
        path = folder / name
        path.unlink(missing_ok=True)  # a file written over may be waited for until it is on the disk
        path.write_bytes(content)
        return path

    return put


@dataclasses.dataclass(frozen=True)
class Format:
    """What :mod:`tests.hostile.work` needs of one."""

    make: Callable[[Path], Sequence[bytes]]
    """Whole files, made once in a folder where it may also leave what they are read beside."""
    put: Callable[[Path, bytes], Path]
    """Writes a changed file; the place that is read."""
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...]
    words: Sequence[bytes] = ()
    named: bool = True
    """Whether a message must say which file it is about."""
    needs: str = ""
    """A package that this is for, if it is not always there."""

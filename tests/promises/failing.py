"""The calls to the system that writing makes, one of which fails."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bntt.runs.directory import Checkpoints

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EINTR)


class Calls:
    """Counts them; the one of a number raises."""

    def __init__(self, fails: int, error: int, told: Callable[[], None]) -> None:
        self.fails, self.error, self.told, self.made = fails, error, told, 0

    def made_one(self) -> None:
        self.made += 1
        if self.made == self.fails:
            self.told()
            raise OSError(self.error, os.strerror(self.error))

    def of(self, real: Callable[..., Any], counts: Callable[..., bool] = lambda *args, **options: True) -> Any:
        """The function, counted where it writes."""

        def called(*args: Any, **options: Any) -> Any:
            if counts(*args, **options):
                self.made_one()
            return real(*args, **options)

        return called

    def open(self, real: Callable[..., Any]) -> Any:
        """``Path.open``, whose files count what they write."""

        def opened(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+"):
                return real(path, mode, *args, **options)
            self.made_one()
            return _File(real(path, mode, *args, **options), self)

        return opened


class _File:
    """An open file whose every write is a call."""

    def __init__(self, file: Any, calls: Calls) -> None:
        self._file, self._calls = file, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, content: Any) -> Any:
        self._calls.made_one()
        return self._file.write(content)


def places(calls: Calls) -> list[tuple[Any, str, Any]]:
    """Owner, name, and what stands there instead."""
    back = calls.of(Path.read_bytes, lambda path: path.name.endswith(".tmp"))  # what was written, read again
    return [
        (Path, "open", calls.open(Path.open)),
        (Path, "read_bytes", back),
        (os, "fsync", calls.of(os.fsync)),
        (os, "open", calls.of(os.open)),
        *((Path, name, calls.of(getattr(Path, name))) for name in ("replace", "unlink", "mkdir")),
    ]


def failing(number: int, error: int, struck: Path) -> None:
    """For good, in a process that ends soon; says in a file that it came so far."""
    for owner, name, instead in places(Calls(number, error, lambda: open(struck, "w").close())):
        setattr(owner, name, instead)


def of_one_file() -> tuple[int, int]:
    """A checkpoint written over others, every call failing once for each error: how often all was well, and of what."""
    survived = tried = 0
    for error in ERRORS:
        for number in range(1, 100):
            well, came = _written(number, error)
            if not came:
                break
            tried, survived = tried + 1, survived + well
    return survived, tried


def _written(number: int, error: int) -> tuple[bool, bool]:
    """Whether all was well, and whether the call was made."""
    came: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        kept = Checkpoints(Path(folder))
        for updates in (1, 2):
            kept.write(updates, {"x": torch.full((3,), updates)}, {}, last=2)
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in places(Calls(0, error, list))]
        raised = None
        for owner, name, instead in places(Calls(number, error, lambda: came.append(number))):
            setattr(owner, name, instead)
        try:
            kept.write(3, {"x": torch.full((3,), 3)}, {}, last=2)
        except OSError as told:
            raised = told.errno
        finally:
            for owner, name, real in before:
                setattr(owner, name, real)
        found = kept.latest()
        known = int(found.checkpoint.tensors["x"][0]) == int(found.path.stem.removeprefix("step-"))
        new = found.path.stem.endswith("3")
    return known and not found.skipped and (new or raised == error), bool(came)

"""One process per folder: a run's directory, the cells of a computation, archives while one is written."""

from __future__ import annotations

import errno
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from bntt.io.files import read_json, write_whole

_NO_LOCKS = {getattr(errno, name, None) for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")} - {None}


class RunLockedError(RuntimeError):
    """A run directory that another process trains in."""


@contextmanager
def hold_run(path: Path, *, name: str = "lock", seconds: float = 0.0) -> Iterator[None]:
    """Keep every other process, and every other holder in this one, out of a run directory while the block runs."""
    path.stat()  # filelock would create a missing folder
    lock, owner = _lock(path / name, seconds), path / f"{name}.json"
    try:
        _write_owner(owner)
        yield
    finally:
        try:
            with suppress(OSError):  # gone with its directory; or, on Windows, just being read
                owner.unlink()
        finally:
            lock.release()


@contextmanager
def hold_cells(folder: Path) -> Iterator[None]:
    """Create the folder of cells if it is missing, and keep every other process out while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with hold_run(folder):
        yield


def _lock(file: Path, seconds: float) -> BaseFileLock:
    hint, soft = "", file.with_name(f"{file.name}.soft")
    try:
        try:
            lock: BaseFileLock = FileLock(file, thread_local=False, fallback_to_soft=False)  # any thread may release it
            lock.acquire(timeout=seconds)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            lock = SoftFileLock(soft, thread_local=False)
            hint = f", or delete {soft} if it is no more (this file system has no locks that end with a process)"
            lock.acquire(timeout=seconds)
    except Timeout:
        owner = _owner(file.with_name(f"{file.name}.json"))
        raise RunLockedError(
            f"{file.parent} is held by {owner}: one process per directory; wait until it ends or stop it{hint}"
        ) from None
    return lock


def _write_owner(file: Path) -> None:
    facts = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
    write_whole(file, (json.dumps(facts) + "\n").encode())


def _owner(file: Path) -> str:
    try:
        facts = read_json(file)
        return f"process {facts['pid']} on {facts['host']} since {facts['since']} ({facts['command']})"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"

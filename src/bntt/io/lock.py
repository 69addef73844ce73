"""One process per folder: a run's directory, or that of a computation's cells."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bntt.io.files import read_json, write_json


class RunLockedError(RuntimeError):
    """A run directory that another process trains in."""


@contextmanager
def hold_run(path: Path) -> Iterator[None]:
    """Keep every other process, and every other holder in this one, out of a directory while the block runs."""
    path.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(path / "lock", thread_local=False), path / "lock.json"  # any thread may release it
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunLockedError(f"{path} is held by {_holder(owner)}: wait until it ends, or stop it") from None
    try:
        write_json(owner, {"pid": os.getpid(), "host": platform.node()})
        yield
    finally:
        try:
            with suppress(OSError):  # gone with its directory; or, on Windows, just being read
                owner.unlink()
        finally:
            lock.release()


def _holder(owner: Path) -> str:
    try:
        facts = read_json(owner)
        return f"process {facts['pid']} on {facts['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"

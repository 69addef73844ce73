"""One process per folder: a run's directory, or that of a computation's cells."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
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
        raise RunLockedError(
            f"{path} is held by {_holder(owner)}: one process per directory; wait until it ends or stop it"
        ) from None
    facts = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
    try:
        write_json(owner, facts)
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
        return f"process {facts['pid']} on {facts['host']} since {facts['since']} ({facts['command']})"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"

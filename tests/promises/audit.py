"""What Python does while it is watched: writes outside some folders, sockets, processes. Nothing is forbidden."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hostile.watch import CHANGES, HARMLESS, WRITES

PROCESSES = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.")


@dataclass
class Seen:
    """What was done."""

    allowed: tuple[str, ...]
    writes: list[str] = field(default_factory=list)
    """Outside the folders that may be written to."""
    inside: int = 0
    """Writes within them: a watch that sees none sees nothing."""
    sockets: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)

    def look(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & WRITES:
                self._wrote(event, [path])
        elif event.startswith(CHANGES):
            self._wrote(event, [path for path in args if isinstance(path, str | bytes | os.PathLike)])
        elif event.startswith("socket.") and event != "socket.gethostname":  # which asks the kernel alone
            self.sockets.append(f"{event} {args!r:.100}")
        elif event.startswith(PROCESSES):
            self.processes.append(f"{event} {args!r:.100}")

    def _wrote(self, event: str, paths: Sequence[Any]) -> None:
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                place = os.path.realpath(os.fsdecode(path))
                within = any(f"{place}{os.sep}".startswith(f"{one}{os.sep}") for one in self.allowed)
                if within or place in HARMLESS:
                    self.inside += 1
                else:
                    self.writes.append(f"{event} {place}")


class _Hook:
    """The one of this process: there is no way to take one away."""

    def __init__(self) -> None:
        self.seen: Seen | None = None
        sys.addaudithook(self._look)

    def _look(self, event: str, args: tuple[Any, ...]) -> None:
        if self.seen is not None and event.startswith(("open", "os.", "shutil.", "socket.", "subprocess.", "pty.")):
            self.seen.look(event, args)


@functools.cache
def _hook() -> _Hook:
    return _Hook()


@contextlib.contextmanager
def recorded(allowed: Sequence[Path]) -> Iterator[Seen]:
    """What is done in the block; these folders may be written to."""
    hook = _hook()
    hook.seen = seen = Seen(tuple(os.path.realpath(path) for path in allowed))
    try:
        yield seen
    finally:
        hook.seen = None

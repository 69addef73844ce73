"""What Python does beside what it should, by its own audit events: code, processes, sockets, writes outside folders."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STARTS = ("subprocess.", "pty.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "ctypes.dlopen")
CHANGES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.",
)
HARMLESS = {"/dev/null", "/dev/shm"}


class EscapeError(BaseException):
    """Something was done that may not be; no ``except Exception`` hides it."""


class Seen:
    """What was done in a block."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self.folders = tuple(os.path.realpath(folder) for folder in folders)
        self.inside = 0
        """Writes within the folders: a watch that sees none sees nothing."""
        self.writes, self.sockets, self.started, self.code = list[str](), list[str](), list[str](), list[str]()

    @property
    def wrong(self) -> list[str]:
        return [*self.writes, *self.sockets, *self.started, *self.code]

    def look(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(args[2], int) and args[2] & WRITES:
                self._wrote(event, args[0])
        elif event == "exec":
            name = getattr(args[0], "co_filename", "<string>")
            if name.startswith("<") and not name.startswith("<frozen") and not _imports():
                self.code.append(f"runs code of {name}")
        elif event == "pickle.find_class":
            self.code.append(f"unpickles {args}")
        elif event.startswith(CHANGES):
            for path in args:
                self._wrote(event, path)
        elif event.startswith("socket.") and event != "socket.gethostname":  # which asks the kernel alone
            self.sockets.append(f"{event} {args!r:.100}")
        elif event.startswith(STARTS):
            self.started.append(f"{event} {args!r:.100}")

    def _wrote(self, event: str, path: object) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            place = os.path.realpath(os.fsdecode(path))
            if place in HARMLESS or any(f"{place}{os.sep}".startswith(f"{one}{os.sep}") for one in self.folders):
                self.inside += 1
            else:
                self.writes.append(f"{event} {place}")


def _imports() -> bool:
    """Whether a module is being imported for the first time, which may make classes of text."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


class _Hook:
    def __init__(self) -> None:
        self.seen: Seen | None = None
        self.forbids = False
        sys.addaudithook(self._look)  # for good: there is no way to take one away

    def _look(self, event: str, args: tuple[Any, ...]) -> None:
        if (seen := self.seen) is not None:
            before = len(seen.wrong)
            seen.look(event, args)
            if self.forbids and len(seen.wrong) > before:
                raise EscapeError(event)


_hook = functools.cache(_Hook)
"""The one of this process."""


@contextlib.contextmanager
def watched(*folders: Path, forbids: bool = False) -> Iterator[Seen]:
    """What is done in the block, which may write to these folders; what is forbidden is an error even if hidden."""
    hook = _hook()
    hook.seen, hook.forbids = (seen := Seen(folders)), forbids
    try:
        yield seen
    finally:
        hook.seen = None
    if forbids and seen.wrong:
        raise EscapeError(seen.wrong[0])

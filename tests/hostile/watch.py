"""What a reader does beside reading, as Python itself reports it: code, processes, sockets, writes outside a folder."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STARTS = (
    "subprocess.",
    "pty.",
    "socket.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "ctypes.dlopen",
)
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
    """A reader did what no reader may; no ``except Exception`` of its own hides it."""


def _imports() -> bool:
    """Whether a module is being imported for the first time, which may make classes of text."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


class Watch:
    """Python's audit events, while it is told to look at them."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hook)  # for good: there is no way to take one away

    @contextmanager
    def within(self, folder: Path) -> Iterator[None]:
        """Nothing may be written but below this folder."""
        self.folder, self.seen = os.path.realpath(folder), []
        try:
            yield
        finally:
            self.folder = None
        if self.seen:
            raise EscapeError(self.seen[0])

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is not None and (what := self._wrong(event, args)):
            self.seen.append(what)
            raise EscapeError(what)

    def _wrong(self, event: str, args: tuple[Any, ...]) -> str:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & WRITES and isinstance(path, str | bytes) and not self._inside(path):
                return f"opens {path!r} to write"
        elif event == "exec":
            name = getattr(args[0], "co_filename", "<string>")
            if name.startswith("<") and not name.startswith("<frozen") and not _imports():
                return f"runs code of {name}"
        elif event == "pickle.find_class":
            return f"unpickles {args}"
        elif event.startswith(STARTS):
            return f"{event} {args!r:.200}"
        elif event.startswith(CHANGES):
            outside = [path for path in args if isinstance(path, str | bytes) and not self._inside(path)]
            return f"{event} {outside[0]!r}" if outside else ""
        return ""

    def _inside(self, path: str | bytes) -> bool:
        place = os.path.realpath(os.fsdecode(path))
        return place in HARMLESS or place == self.folder or place.startswith(f"{self.folder}{os.sep}")


@functools.cache
def the_watch() -> Watch:
    """The one of this process."""
    return Watch()

"""Standard output and error in any state: closed, full, gone, or of an encoding that lacks γ."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class OutputError(OSError):
    """Failure to write to standard output."""


class _Terminal(io.FileIO):
    """Terminal that may go away, as it does when its window is closed: later output is then discarded."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ENXIO):
                raise
        discard(self)
        return super().write(data)


def prepare() -> None:
    """Open closed streams on nothing, and replace characters that the encoding lacks by question marks.

    A closed descriptor would be given to the next file that is opened, and prints would end in that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 -- for as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _outliving_its_terminal(sys.stdout)
        sys.stdout.reconfigure(errors="replace", write_through=False)  # written where it is flushed, not by any print
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _outliving_its_terminal(sys.stderr)


def _outliving_its_terminal(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return the stream itself unless it is a terminal; a Windows console is another class ending with its programs."""
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO or not raw.isatty():
        return stream
    stream.flush()
    terminal = io.BufferedWriter(_Terminal(raw.fileno(), "w", closefd=False))
    return io.TextIOWrapper(terminal, stream.encoding, stream.errors, line_buffering=True)


@contextmanager
def writing() -> Iterator[None]:
    """Convert a failure to print in the block to :class:`OutputError`; a reader that has gone is left to the caller.

    Raises:
        OutputError: if it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror or error}") from None


def discard(stream: TextIO | io.FileIO) -> None:
    """Discard everything that is still to be written there."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def rank() -> int | None:
    """Return this process's rank among many, as torchrun sets it; None for a single one."""
    return int(os.environ.get("RANK", "0")) if os.environ.get("WORLD_SIZE", "1") not in ("", "1") else None


def complain(text: str) -> None:
    """Print one line on standard error, if anybody can read it; one of many processes names itself."""
    which = "" if rank() is None else f"process {rank()}: "
    try:
        sys.stderr.write(f"bntt: {which}{' '.join(text.split())}\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)

"""Standard output and error in any state: closed, full, without a reader, or in an encoding that lacks γ."""

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


class UsageError(ValueError):
    """Command line that asks for what cannot be done."""


def refuse(*cases: tuple[object, str], error: type[Exception] = UsageError) -> None:
    """Raise the error of the first case that applies."""
    for applies, why in cases:
        if applies:
            raise error(why)


class _Terminal(io.FileIO):
    """Terminal that may disappear, as when its window is closed; later output is then discarded."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ENXIO):
                raise
        discard(self)
        return super().write(data)


def prepare() -> None:
    """Open closed streams on the null device, and replace characters that the encoding lacks with question marks."""
    for descriptor in range(3):  # else the next file that is opened would get one of these, and what is printed
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 -- while the process lives
        setattr(sys, name, _outliving_its_terminal(stream) if isinstance(stream, io.TextIOWrapper) else stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace", write_through=False)  # written when flushed, not by each print


def _outliving_its_terminal(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Wrap a terminal; return other streams as they are. A Windows console, another class, ends with its programs."""
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO or not raw.isatty():
        return stream
    stream.flush()
    terminal = io.BufferedWriter(_Terminal(raw.fileno(), "w", closefd=False))
    return io.TextIOWrapper(terminal, stream.encoding, stream.errors, line_buffering=True)


@contextmanager
def writing() -> Iterator[None]:
    """Convert a failure to print to :class:`OutputError`; a broken pipe (the reader ended) is left to the caller."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror or error}") from None


def discard(stream: TextIO | io.FileIO) -> None:
    """Discard everything that is still to be written to a stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def rank() -> int | None:
    """Return this process's rank among several, as torchrun sets it; None for a single process."""
    return int(os.environ.get("RANK", "0")) if os.environ.get("WORLD_SIZE", "1") not in ("", "1") else None


def complain(text: str) -> None:
    """Print one line on standard error, if it can be written; one of several processes gives its rank."""
    which = "" if rank() is None else f"process {rank()}: "
    try:
        sys.stderr.write(f"bntt: {which}{' '.join(text.split())}\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)

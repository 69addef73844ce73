"""Standard output and error in any state: closed, full, without a reader, or in an encoding that lacks γ."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class OutputError(OSError):
    """Failure to write to standard output."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror or error}")


class UsageError(ValueError):
    """Command line that asks for what cannot be done."""


def refuse(*cases: tuple[object, str]) -> None:
    """Refuse a command line in the first case that applies."""
    if wrong := next((why for applies, why in cases if applies), ""):
        raise UsageError(wrong)


def prepare() -> None:
    """Open closed streams on the null device, and replace characters that the encoding lacks with question marks."""
    for descriptor in range(3):  # else the next file that is opened would get one of these, and what is printed
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 -- while the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace", write_through=False)  # written when flushed, not by each print


@contextmanager
def writing() -> Iterator[None]:
    """Convert a failure to print to :class:`OutputError`; a broken pipe (the reader ended) is left to the caller."""
    try:
        yield
    except OSError as error:
        discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(error) from None


def discard(stream: TextIO) -> None:
    """Discard everything that is still to be written to a stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def leave_closed_terminal() -> None:
    """Discard what is still to be printed if the window of the terminal has been closed."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


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

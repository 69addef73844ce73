"""Signals: what ends the process, and what a training is asked for instead. Installed by ``main``, by no import.

============================== ============================================ ==================================
signal                         anywhere                                     within :func:`deferred`
============================== ============================================ ==================================
SIGTERM, SIGHUP, SIGBREAK      :class:`Terminated`, exit code 143           the wish to stop; again: nothing
SIGINT (Ctrl-C)                ``KeyboardInterrupt``, exit code 130         a line, and the wish to stop; again:
                                                                            at once, as anywhere
SIGUSR1                        a line on standard error                     the wish to save
============================== ============================================ ==================================

The first signal that asks for a stop gives the exit code; Ctrl-C twice ends at once whatever else has come. What the
parent process ignores stays ignored, as ``nohup`` does with SIGHUP and a shell with SIGINT of a job in the background.
Python runs a handler between two of its own steps: a layer that is being computed is computed to its end.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from bntt.cli import streams
from bntt.runs.training.requests import Wishes

Handler = Callable[[int, FrameType | None], Any]
PATIENCE = 3.0
"""Seconds for an end that has begun: until then further signals are the same wish, and then it is begun again."""


class Terminated(SystemExit):
    """The process is to end: by which signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"terminated ({signal.Signals(number).name})")
        self.number = number
        self.code = code_of(number)


def code_of(number: int) -> int:
    """The exit code for a signal: 130 for Ctrl-C, 143 for those that end a process."""
    return 130 if number == signal.SIGINT else 143


@dataclass
class _Deferred(Wishes):
    interrupts: int = 0


@dataclass
class _Process:
    """What the handlers go by."""

    deferred: _Deferred | None = None
    ended: float = -math.inf
    """When the end began, by the monotonic clock,"""
    by: int = 0
    """and by which signal."""


_process = _Process()


@contextmanager
def installed() -> Iterator[None]:
    """Handle signals as this file says, and as before after the block. Does nothing outside the main thread."""
    previous = install()
    try:
        yield
    finally:
        if _process.by and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def install() -> dict[int, Handler | int]:
    """Handle signals as this file says, for good; returns the handlers before."""
    previous: dict[int, Handler | int] = {}
    if threading.current_thread() is not threading.main_thread():
        return previous
    _process.ended, _process.by = -math.inf, 0
    for number, handler in _handlers():
        before = signal.getsignal(number)
        if before is not None and before != signal.SIG_IGN:  # None: a library in C has it
            previous[number] = before
            signal.signal(number, handler)
    return previous


def ignore() -> None:
    """For a process at its end: a signal that comes while Python takes itself apart does not change the exit code."""
    for number, handler in _handlers():
        if signal.getsignal(number) == handler:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def deferred() -> Iterator[Wishes]:
    """Signals become wishes within the block, which looks at them at its safe points.

    A wish to stop that comes after the last of them ends the process where the block ends.
    """
    wishes, outer = _Deferred(), _process.deferred
    _process.deferred = wishes
    try:
        yield wishes
    finally:
        if wishes.stop is not None:
            _process.ended = time.monotonic()
        _process.deferred = outer
    if wishes.stop is not None:
        _begin_the_end(wishes.stop)


def _begin_the_end(number: int) -> NoReturn:
    """Raise it, and once more after a while: code in C drops what is raised in it, as torch does that imports NumPy."""
    _process.ended, _process.by = time.monotonic(), number
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)


def _again(number: int, frame: FrameType | None) -> None:
    if _process.deferred is not None:
        _process.deferred.stop = _process.deferred.stop or _process.by
    elif _process.by:
        _begin_the_end(_process.by)


def _end(number: int, frame: FrameType | None) -> None:
    if _process.deferred is not None:
        _process.deferred.stop = _process.deferred.stop or number
    elif time.monotonic() - _process.ended > PATIENCE:
        _begin_the_end(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    wishes = _process.deferred
    if wishes is None or wishes.interrupts:
        _begin_the_end(number)
    wishes.interrupts += 1
    wishes.stop = wishes.stop or number
    _say("stopping as soon as everything is saved; Ctrl-C again stops at once")


def _save(number: int, frame: FrameType | None) -> None:
    if _process.deferred is not None:
        _process.deferred.save = True
    else:
        _say("SIGUSR1 changes nothing: no training is under way")


def _say(text: str) -> None:
    """Not by print: the handler may have come in the midst of one. Of many processes one says it."""
    if streams.rank():
        return
    with suppress(OSError):
        os.write(2, f"bntt: {text}\n".encode())


def _handlers() -> list[tuple[int, Handler]]:
    """Of the signals that this platform has: Windows has SIGBREAK, sent where a console is closed, and no SIGHUP."""
    ending = dict.fromkeys(("SIGTERM", "SIGHUP", "SIGBREAK"), _end)
    wanted = {**ending, "SIGINT": _interrupt, "SIGALRM": _again, "SIGUSR1": _save}
    return [(getattr(signal, name), handler) for name, handler in wanted.items() if hasattr(signal, name)]

"""Signals that end the process, and how a training handles them. ``main`` installs the handlers; imports do not.

============================== ============================================ ==================================
signal                         anywhere                                     within :func:`deferred`
============================== ============================================ ==================================
SIGTERM, SIGHUP                :class:`Terminated`, exit code 143           a request to stop; again: nothing
SIGINT (Ctrl-C)                ``KeyboardInterrupt``, exit code 130         a line and a request to stop; again:
                                                                            at once, as anywhere
SIGUSR1                        a line on standard error                     a request to save
============================== ============================================ ==================================

The first signal that asks for a stop decides the exit code; Ctrl-C twice ends at once, whatever other signals came.
Signals ignored by the parent stay ignored, such as SIGHUP under ``nohup`` and SIGINT of a shell's background job.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn

from bntt.cli import console
from bntt.runs.training.requests import Requests

Handler = Callable[[int, FrameType | None], Any]
PATIENCE = 3.0
"""Seconds that the process has to end: meanwhile SIGTERM and SIGHUP change nothing."""


class Terminated(SystemExit):
    """Exit of the process by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"terminated ({signal.Signals(number).name})")
        self.number = number


_process: Any = SimpleNamespace(deferred=None, interrupted=False, ended=-math.inf)
"""The requests of :func:`deferred`, whether Ctrl-C has come within it, and when the process began to end."""


@contextmanager
def installed() -> Iterator[None]:
    """Handle signals as this file defines, and restore the handlers after the block; only in the main thread."""
    previous = install()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def install() -> dict[int, Handler | int]:
    """Handle signals as this file defines, until the process ends; return the previous handlers."""
    previous: dict[int, Handler | int] = {}
    if threading.current_thread() is not threading.main_thread():
        return previous
    _process.ended = -math.inf
    for number, handler in _handlers():
        before = signal.getsignal(number)
        if before is not None and before != signal.SIG_IGN:  # None: C code has installed one
            previous[number] = before
            signal.signal(number, handler)
    return previous


def ignore() -> None:
    """Ignore signals at the end of a process: one that comes during Python's shutdown does not change the exit code."""
    for number, handler in _handlers():
        if signal.getsignal(number) == handler:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def deferred() -> Iterator[Requests]:
    """Turn signals into requests within the block, which checks them at its safe points.

    A request to stop that comes after the last safe point ends the process at the end of the block.
    """
    requests, outer = Requests(), _process.deferred
    _process.deferred, _process.interrupted = requests, False
    try:
        yield requests
    finally:
        if requests.stop is not None:
            _process.ended = time.monotonic()
        _process.deferred = outer
    if requests.stop is not None:
        _raise_stop(requests.stop)


def _raise_stop(number: int) -> NoReturn:
    _process.ended = time.monotonic()
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)


def _on_terminate(number: int, frame: FrameType | None) -> None:
    if number == getattr(signal, "SIGHUP", None):
        console.leave_closed_terminal()
    if _process.deferred is not None:
        _process.deferred.stop = _process.deferred.stop or number
    elif time.monotonic() - _process.ended > PATIENCE:
        _raise_stop(number)


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    requests = _process.deferred
    if requests is None or _process.interrupted:
        _raise_stop(number)
    _process.interrupted = True
    requests.stop = requests.stop or number
    _say("stopping as soon as everything is saved; Ctrl-C again stops at once")


def _on_save_request(number: int, frame: FrameType | None) -> None:
    if _process.deferred is not None:
        _process.deferred.save = True
    else:
        _say("SIGUSR1 changes nothing: no training is under way")


def _say(text: str) -> None:
    """Write without print, which the handler may have interrupted. Only the first of several processes writes."""
    if not console.rank():
        with suppress(OSError):
            os.write(2, f"bntt: {text}\n".encode())


def _handlers() -> list[tuple[int, Handler]]:
    """List the signals of this platform: Windows has no SIGHUP and no SIGUSR1."""
    wanted = {"SIGTERM": _on_terminate, "SIGHUP": _on_terminate, "SIGINT": _on_interrupt, "SIGUSR1": _on_save_request}
    return [(getattr(signal, name), handler) for name, handler in wanted.items() if hasattr(signal, name)]

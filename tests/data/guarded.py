"""Many cases in a process of their own, with a bound on its memory and on the time of each."""

from __future__ import annotations

import faulthandler
import os
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from tests.hostile.work import bound

MEMORY = 256 << 20
"""Bytes beyond those that the process has when it begins."""
SECONDS = 10
"""Of a case."""
Cases = Callable[[int, int, Callable[[int], None]], Counter[str]]
"""How many cases, the first, and what is called before each with its number."""


def guarded(run: Cases, cases: int, first: int = 0) -> Counter[str]:
    """What the cases counted.

    Raises:
        AssertionError: naming the case, if one raised an error that it must not, took more memory or more time, or
            ended the process.
    """
    context = get_context("spawn")
    at = context.Value("q", first)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(run, cases, first, at, sender))
    process.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        found = None
    process.join()
    if isinstance(found, Counter):
        return found
    raise AssertionError(found or f"case {at.value} ended the process with {process.exitcode} (1: it took too long)")


def _work(run: Cases, cases: int, first: int, at: Synchronized[int], sender: Connection) -> None:
    told = os.fdopen(os.dup(2), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # what foreign code says when it panics
    bound(MEMORY)

    def before(case: int) -> None:
        at.value = case
        faulthandler.dump_traceback_later(SECONDS, exit=True, file=told)

    result: Any
    try:
        result = run(cases, first, before)
    except BaseException as error:
        result = f"case {at.value}: {type(error).__name__}: {error}"
    faulthandler.cancel_dump_traceback_later()
    sender.send(result)

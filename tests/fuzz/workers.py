"""Cases judged in processes of their own: one that ends in the middle of a case, or stands still, is a finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread

import torch

from tests.fuzz.borders.kinds import draw_border
from tests.fuzz.judge import Verdict, judge

Name = tuple[str, int]
"""Of a case: its kind, and its number there."""
PATIENCE = 120.0
"""Seconds after which a case stands still."""
FOUND = ("different", "crashed", "hung", "mistaken")
"""Ends of a case that somebody must look at."""
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def judge_named(name: Name) -> Verdict:
    """Run a case of a kind here; an error that leaves it is a mistake of the fuzzer's own, or ours."""
    kind, number = name
    try:
        verdict = judge(number, partial(draw_border, kind))
    except Exception as error:
        return Verdict(number, "mistaken", False, f"{type(error).__name__}: {error}", kind)
    return Verdict(number, verdict.kind, verdict.fused, verdict.what, kind)


def verdicts(names: Iterable[Name], jobs: int = 1) -> Iterator[Verdict]:
    """How cases end, as they do, in so many processes; a process that is lost is replaced."""
    todo, lock, found = iter(names), Lock(), SimpleQueue[Verdict | None]()

    def one_after_another() -> None:
        lost = True
        while True:
            with lock:
                name = next(todo, None)
            if lost and name is not None:
                ours, theirs = CONTEXT.Pipe()
                process = CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
                process.start()
                theirs.close()
            if name is None:
                break
            verdict = _judged(name, ours)
            found.put(verdict)
            if lost := verdict.kind in ("crashed", "hung"):
                process.kill()
        if not lost:
            process.kill()
        found.put(None)

    for _ in range(jobs):
        Thread(target=one_after_another, daemon=True).start()
    left = jobs
    while left:
        if (verdict := found.get()) is None:
            left -= 1
        else:
            yield verdict


def _judged(name: Name, pipe: Connection) -> Verdict:
    """What the process tells of a case, if it does."""
    kind, number = name
    pipe.send(name)
    if not pipe.poll(PATIENCE):
        return Verdict(number, "hung", False, f"it was not done after {PATIENCE:.0f} seconds", kind)
    try:
        verdict: Verdict = pipe.recv()
    except EOFError:
        return Verdict(number, "crashed", False, "its process ended; cases before it ran there too", kind)
    return verdict


def _work(pipe: Connection) -> None:
    torch.set_num_threads(1)
    while True:
        pipe.send(judge_named(pipe.recv()))

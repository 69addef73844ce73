"""Cases judged in processes of their own: one that ends in the middle of a case, or stands still, is a finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from queue import SimpleQueue

import torch

from tests.fuzz.judge import Verdict, judge

PATIENCE = 120.0
"""Seconds after which a case stands still."""
FOUND = ("different", "crashed", "hung", "mistaken")
"""Ends of a case that somebody must look at."""
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def verdict_of(kind: str, number: int) -> Verdict:
    """An error that leaves a case is a mistake of the fuzzer's own, or ours."""
    try:
        return judge(number, kind)
    except Exception as error:
        return Verdict(kind, number, "mistaken", False, f"{type(error).__name__}: {error}")


def verdicts(names: Iterable[tuple[str, int]], jobs: int = 1) -> Iterator[Verdict]:
    """How cases of so many kinds and numbers end, in so many processes; one that is lost is replaced."""
    processes = SimpleQueue[ProcessPoolExecutor]()
    for _ in range(jobs):
        processes.put(_process())

    def judged(name: tuple[str, int]) -> Verdict:
        process = processes.get()
        try:
            verdict: Verdict = process.submit(verdict_of, *name).result(PATIENCE)
        except BrokenProcessPool:
            verdict = Verdict(*name, "crashed", False, "its process ended; cases before it ran there too")
        except TimeoutError:
            verdict = Verdict(*name, "hung", False, f"it was not done after {PATIENCE:.0f} seconds")
            for one in process._processes.values():
                one.kill()
        processes.put(_process() if verdict.kind in ("crashed", "hung") else process)
        return verdict

    with ThreadPoolExecutor(jobs) as threads:
        yield from threads.map(judged, names)
    for _ in range(jobs):
        processes.get().shutdown()


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, CONTEXT, torch.set_num_threads, (1,))

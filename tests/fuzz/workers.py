"""Cases judged in processes of their own: one that ends in the middle of a case, or stands still, is a finding."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

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


@dataclass
class Worker:
    """A process that judges one case after another."""

    process: BaseProcess
    pipe: Connection
    name: Name | None = None
    """What it is at."""
    since: float = 0.0
    done: list[Name] = field(default_factory=list)

    @staticmethod
    def begin() -> Worker:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours)

    def give(self, name: Name) -> None:
        self.name, self.since = name, time.monotonic()
        self.pipe.send(name)

    def take(self) -> Verdict | None:
        """How its case ended; None while it goes on."""
        assert self.name is not None
        if self.pipe.poll():
            try:
                verdict: Verdict = self.pipe.recv()
            except EOFError:
                self.process.join()
                return self._lost("crashed", f"its process ended with {self.process.exitcode}")
            self.done.append(self.name)
            self.name = None
            return verdict
        if time.monotonic() - self.since > PATIENCE:
            self.end()
            return self._lost("hung", f"it was not done after {PATIENCE:.0f} seconds")
        return None

    def _lost(self, kind: str, how: str) -> Verdict:
        assert self.name is not None
        of, number = self.name
        before = [n for k, n in self.done if k == of]
        alone = f"; cases {min(before)} to {max(before)} ran there before it" if before else ""
        return Verdict(number, kind, False, how + alone, of)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection) -> None:
    torch.set_num_threads(1)
    while True:
        try:
            name = pipe.recv()
        except EOFError:
            return
        pipe.send(judge_named(name))


def verdicts(names: Iterable[Name], jobs: int = 1) -> Iterator[Verdict]:
    """How cases end, as they do, in so many processes; a process that is lost is replaced."""
    todo, workers = iter(names), list[Worker]()
    try:
        for name in todo:
            workers.append(Worker.begin())
            workers[-1].give(name)
            if len(workers) == jobs:
                break
        while workers:
            wait([worker.pipe for worker in workers], timeout=min(5, PATIENCE))
            for worker in [*workers]:
                if (verdict := worker.take()) is None:
                    continue
                workers.remove(worker)
                lost = worker.name is not None
                if (name := next(todo, None)) is not None:
                    workers.append(Worker.begin() if lost else worker)
                    workers[-1].give(name)
                elif not lost:
                    worker.end()
                yield verdict
    finally:
        for worker in workers:
            worker.end()

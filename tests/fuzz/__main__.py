"""Run many cases: ``python -m tests.fuzz --cases 20000 --first 0 [--seconds N] [--jobs 1]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context

import torch

from tests.fuzz.judge import Verdict, judge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    chosen = parser.parse_args()
    began, told, kinds, fused = time.monotonic(), 0.0, Counter[str](), 0
    for verdict in _verdicts(range(chosen.first, chosen.first + chosen.cases), chosen.jobs):
        kinds[verdict.kind] += 1
        fused += verdict.fused
        if verdict.kind == "different":
            print(f"case {verdict.case}: {verdict.what}\n", flush=True)
        seconds = time.monotonic() - began
        if seconds - told > 10:
            told = seconds
            print(_summary(kinds, fused, seconds), flush=True)
        if seconds > chosen.seconds:
            break
    print(_summary(kinds, fused, time.monotonic() - began))
    return int(kinds["different"] > 0)


def _verdicts(numbers: range, jobs: int) -> Iterator[Verdict]:
    if jobs == 1:
        torch.set_num_threads(1)
        yield from map(judge, numbers)
        return
    with get_context("spawn").Pool(jobs, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap(judge, numbers, chunksize=20)


def _summary(kinds: Counter[str], fused: int, seconds: float) -> str:
    done = kinds.total()
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    return f"{done} cases: {counts}; {fused} fused throughout; {done / seconds:.0f} cases/s"


if __name__ == "__main__":
    sys.exit(main())

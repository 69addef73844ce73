"""Interleaved, paired timing: every variant lives in its own process, and a round is one pass of each in turn."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.cases import Case, firing_rates, own_step, step_of, takes_part, threads_of
from benchmarks.workers import Worker, return_freed_memory, serve, take_turns
from bntt.engine.workspace import WORKSPACE
from bntt.io.memory import forget_peak, resident
from bntt.training.processes import joined_processes


def compare(case: Case, variants: Sequence[str], rounds: int, threads: int) -> dict[str, Any]:
    """Time the loop and the variants that take part, in turn; a first round warms up and only its memory counts.

    A variant's speed is the median of the loop's seconds over its own within the rounds.
    """
    with ExitStack() as ending:
        workers = {
            name: ending.enter_context(
                Worker(
                    f"{case.name}: {name}", "timing", {"variant": name, "case": asdict(case)}, threads_of(name, threads)
                )
            )
            for name in dict.fromkeys(("loop", *variants))
            if takes_part(name, case)
        }
        answers = take_turns(case.name, workers, "step", rounds + 1)
    seconds = {name: [row["seconds"] for row in rows[1:]] for name, rows in answers.items()}
    timings = [
        {
            "variant": name,
            "seconds": own,
            "peak_over_base": max(row["peak_over_base"] for row in answers[name]),
            "median": statistics.median(own),
            "speed": statistics.median(loop / ours for loop, ours in zip(seconds["loop"], own, strict=True)),
        }
        for name, own in seconds.items()
    ]
    return {"case": asdict(case), "firing_rate": firing_rates(case), "timings": timings}


def main(specification: str) -> None:
    """Make a step for every line; answer its seconds, and the peak of memory over what was held before the first."""
    told = json.loads(specification)
    case = Case(**told["case"])
    gpu = case.device.startswith("cuda")
    with joined_processes(case.device) as processes:
        step = step_of(told["variant"], case) if processes.count == 1 else own_step("fused", case, processes=processes)
        WORKSPACE.clear()
        return_freed_memory()
        base = torch.cuda.memory_allocated() if gpu else resident()

        def measured(_: str) -> dict[str, float]:
            torch.cuda.reset_peak_memory_stats() if gpu else forget_peak()
            began = time.perf_counter()
            step()
            if gpu:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - began
            peak = torch.cuda.max_memory_allocated() if gpu else resident("VmHWM")
            return {"seconds": seconds, "peak_over_base": peak - base}

        serve(measured)


if __name__ == "__main__":
    main(sys.argv[1])

"""The standard benchmark of two source trees in alternation: ``python -m benchmarks.alternate OTHER/src``.

The benchmarks of this tree time both. Both workers live at once, and a round is one step of each, in an order that
turns round. The ratio of a case is the geometric mean of this tree's seconds over the other's within rounds, with its
95 % interval; below 1 is faster.
"""

import argparse
import math
import os
import statistics
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from scipy.special import stdtrit

from benchmarks.cases import STANDARD, Case
from benchmarks.workers import Worker

ROOT, CONSOLE = Path(__file__).parents[1], Console(highlight=False)


def worker(source: Path, variant: str, case: Case) -> Worker:
    """Start a process that runs one variant of a source tree."""
    settings = {"PYTHONPATH": os.pathsep.join(map(str, (source, ROOT))), "OMP_NUM_THREADS": "2"}
    return Worker(f"{source}: {variant}", "timing", {"variant": variant, "case": asdict(case)}, settings)


def ratios(other: Path, variant: str, case: Case, rounds: int) -> list[float]:
    """Return the logarithms of ours over theirs, round by round; the first two rounds warm up."""
    found = []
    with worker(ROOT / "src", variant, case) as ours, worker(other, variant, case) as theirs:
        for number in range(rounds + 2):
            order = (ours, theirs) if number % 2 else (theirs, ours)
            seconds = {one.title: one.ask("step")["seconds"] for one in order}
            found.append(math.log(seconds[ours.title] / seconds[theirs.title]))
    return found[2:]


def main() -> None:
    """Time every standard case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--variants", nargs="+", default=["fused", "reference"])
    asked = parser.parse_args()
    means = []
    for case in STANDARD:
        for variant in asked.variants:
            logs = ratios(asked.other, variant, case, asked.rounds)
            mean, half = statistics.mean(logs), 0.0
            half = stdtrit(len(logs) - 1, 0.975) * statistics.stdev(logs) / math.sqrt(len(logs))
            means.append(mean)
            low, high = math.exp(mean - half), math.exp(mean + half)
            CONSOLE.print(f"{case.name}, {variant}: {math.exp(mean):.3f} ({low:.3f} to {high:.3f})")
    CONSOLE.print(f"geometric mean {math.exp(statistics.mean(means)):.4f} over {asked.rounds} rounds")


if __name__ == "__main__":
    main()

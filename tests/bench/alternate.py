"""The standard benchmark of two source trees in alternation: ``python -m tests.bench.alternate OTHER/src``.

Both trees' workers live at once, and a round is one step of each, in an order that turns round. The ratio of a case is
the geometric mean of this tree's seconds over the other's within rounds, with its 95 % interval; below 1 is faster.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from bntt.analysis.accuracy.accuracy import student_quantile
from bntt.bench.cases import STANDARD, Case

OURS = Path(__file__).parents[2] / "src"


def worker(source: Path, variant: str, case: Case) -> subprocess.Popen[str]:
    settings = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-m", "bntt.bench.worker"]
    specification = json.dumps({"variant": variant, "case": asdict(case)})
    pipe = subprocess.PIPE
    started = subprocess.Popen([*command, specification], stdin=pipe, stdout=pipe, text=True, env=settings)
    assert answer(started) == {"ready": True}
    return started


def answer(process: subprocess.Popen[str]) -> dict[str, float]:
    return json.loads(process.stdout.readline())


def step(process: subprocess.Popen[str]) -> float:
    process.stdin.write("step\n")
    process.stdin.flush()
    return answer(process)["seconds"]


def ratios(other: Path, variant: str, case: Case, rounds: int) -> list[float]:
    """The logarithms of ours over theirs, round by round; the first two rounds warm up."""
    pair = [worker(OURS, variant, case), worker(other, variant, case)]
    try:
        found = []
        for number in range(rounds + 2):
            order = (0, 1) if number % 2 else (1, 0)
            seconds = {i: step(pair[i]) for i in order}
            found.append(math.log(seconds[0] / seconds[1]))
        return found[2:]
    finally:
        for process in pair:
            process.kill()


def main() -> None:
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
            half = student_quantile(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
            means.append(mean)
            low, high = math.exp(mean - half), math.exp(mean + half)
            print(f"{case.name}, {variant}: {math.exp(mean):.3f} [{low:.3f}, {high:.3f}]", flush=True)
    print(f"geometric mean {math.exp(statistics.mean(means)):.4f} over {asked.rounds} rounds")


if __name__ == "__main__":
    main()

"""Interleaved, paired timing: every variant lives in its own process, and a round is one pass of each in turn."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import torch

from bntt.bench.cases import Case, firing_rates, takes_part, threads_of
from bntt.bench.parity import Parity
from bntt.training.processes import LostProcessError

YARDSTICK = "loop"


@dataclass(frozen=True)
class Timing:
    """One variant of one case."""

    variant: str
    seconds: list[float]
    """Seconds of every round."""
    peak_over_base: int
    """Bytes of resident memory over what the process held before its first step; the largest of all rounds."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """All variants of one case, timed in turn."""

    case: Case
    firing_rate: dict[str, float]
    timings: list[Timing]

    def of(self, variant: str) -> Timing | None:
        return next((timing for timing in self.timings if timing.variant == variant), None)

    def speed(self, variant: str) -> float:
        """Return the speedup: the median of the ratios within the rounds; NaN if one of the two was not run."""
        ours, theirs = self.of(variant), self.of(YARDSTICK)
        if ours is None or theirs is None:
            return float("nan")
        return statistics.median(b / a for a, b in zip(ours.seconds, theirs.seconds, strict=True))


def compare(
    case: Case, variants: list[str], *, rounds: int, threads: int, progress: Callable[[str], None] = lambda what: None
) -> Comparison:
    """Time the variants that take part in turn; a first round warms up and is thrown away.

    Raises:
        LostProcessError: if a variant's process ends early, with the last line of its standard error.
    """
    workers = {name: _start(name, case, threads) for name in variants if takes_part(name, case)}
    try:
        for name, worker in workers.items():
            answer(f"{case.name}: {name}", worker)
        measured = take_turns(workers, "step", range(rounds + 1), progress, case.name)
    finally:
        end(workers.values())
    timings = [
        Timing(name, [row["seconds"] for row in rows[1:]], int(max(row["peak_over_base"] for row in rows)))
        for name, rows in measured.items()
    ]
    return Comparison(case, firing_rates(case), timings)


def report(comparisons: list[Comparison], parity: list[Parity], threads: int) -> dict[str, object]:
    """Collect all measurements and their setup, ready for ``json``."""
    return {
        "versions": versions(),
        "threads": threads,
        "parity": [asdict(row) for row in parity],
        "cases": [
            {
                "case": asdict(comparison.case),
                "firing_rate": comparison.firing_rate,
                "timings": [
                    asdict(timing) | {"median": timing.median, "speed": comparison.speed(timing.variant)}
                    for timing in comparison.timings
                ],
            }
            for comparison in comparisons
        ],
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, of the library, and of the peers that are installed.

    >>> sorted(set(versions()) - {"spikingjelly", "snntorch"})
    ['bntt', 'python', 'torch']
    """
    packages = {}
    for name in ("bntt", "torch", "spikingjelly", "snntorch"):
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return packages | {"python": platform.python_version(), "torch": torch.__version__}


def _start(name: str, case: Case, threads: int) -> subprocess.Popen[str]:
    return start("bntt.bench.worker", {"variant": name, "case": asdict(case)}, threads_of(name, threads))


Worker: TypeAlias = "subprocess.Popen[str]"


def start(module: str, specification: Mapping[str, Any], settings: Mapping[str, str]) -> Worker:
    """Start a module in a separate process: it takes its work as lines of JSON and answers each with one."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "WORLD_SIZE")}
    command, pipe = [sys.executable, "-W", "ignore", "-m", module, json.dumps(specification)], subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=inherited | dict(settings))


def ask(title: str, worker: Worker, what: str) -> dict[str, float]:
    """Send a line and return the answer.

    Raises:
        LostProcessError: as :func:`answer`.
    """
    tell(worker, what)
    return answer(title, worker)


def tell(worker: Worker, what: str) -> None:
    """Send a line; if the process has ended, :func:`answer` says why."""
    assert worker.stdin is not None
    with suppress(BrokenPipeError):
        worker.stdin.write(f"{what}\n")
        worker.stdin.flush()


def take_turns(
    workers: Mapping[str, Worker], what: str, rounds: Sequence[int], progress: Callable[[str], None], title: str
) -> dict[str, list[dict[str, float]]]:
    """Send a line to every process in turn, round after round; return the answers by name.

    Args:
        rounds: their numbers; each is reported after ``title`` when it begins.

    Raises:
        LostProcessError: as :func:`answer`.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for number in rounds:
        progress(f"{title}: round {number} of {rounds[-1]}")
        for name, worker in workers.items():
            found[name].append(ask(f"{title}: {name}", worker, what))
    return found


def end(workers: Iterable[Worker]) -> None:
    """End processes, even busy ones."""
    for worker in workers:
        worker.kill()
        worker.communicate()


def answer(title: str, worker: Worker) -> dict[str, float]:
    """Return the next answer of a process.

    Raises:
        LostProcessError: if it has ended, with the title, its exit code and the last line of its standard error.
    """
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        assert worker.stderr is not None
        said = worker.stderr.read().strip().splitlines()[-1:] or ["it said nothing"]
        code = worker.wait()
        how = f"was killed by signal {-code} (was memory short?)" if code < 0 else f"ended with exit code {code}"
        raise LostProcessError(f"{title}: its process {how}: {said[0][-500:]}")
    found: dict[str, float] = json.loads(line)
    return found

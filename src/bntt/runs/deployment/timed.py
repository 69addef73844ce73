"""Times a run's bundles on one thread, as a program in a separate process: NumPy sets its threads when it starts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from bntt.deploy.runtime.runtime import Runtime
from bntt.io.memory import ONE_THREAD, environment

CALLS = 5
"""Calls of each bundle and number of steps in a round."""


def timed(folder: Path, names: Sequence[str], steps: Sequence[int], rounds: int) -> dict[tuple[str, int], float]:
    """Return the least CPU milliseconds of a call by bundle and steps, timed in turn in a separate process."""
    told = json.dumps([str(folder), list(names), list(steps), rounds])
    command = [sys.executable, "-P", "-m", "bntt.runs.deployment.timed", told]
    found = subprocess.run(
        command, capture_output=True, text=True, env=environment(**ONE_THREAD), stdin=subprocess.DEVNULL
    )
    if found.returncode:
        said = found.stderr.strip().splitlines() or [f"exit code {found.returncode}"]
        raise RuntimeError(f"timing the bundles ended early: {said[-1][-500:]}")
    return {(name, after): milliseconds for name, after, milliseconds in json.loads(found.stdout)}


def main(told: str) -> None:
    """Time all bundles."""
    folder, names, steps, rounds = json.loads(told)
    runtimes = {name: Runtime(Path(folder) / name) for name in names}
    sample, least = np.load(Path(folder) / "sample.npy"), dict[tuple[str, int], float]()
    for _, (name, runtime), after, _ in product(range(rounds), runtimes.items(), steps, range(CALLS)):
        began = time.process_time()
        runtime.run(sample, steps=after)
        took = 1e3 * (time.process_time() - began)
        least[name, after] = min(took, least.get((name, after), took))
    sys.stdout.write(json.dumps([(*way, milliseconds) for way, milliseconds in least.items()]))


if __name__ == "__main__":
    main(sys.argv[1])

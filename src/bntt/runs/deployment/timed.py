"""Times a run's bundles on one thread, as a program in a separate process: NumPy sets its threads when it starts.

Its argument is JSON: the folder of the bundles and of ``sample.npy``, their names, the numbers of steps to stop after,
and the number of rounds. Its output is a list of ``[name, steps, milliseconds]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bntt.deploy.runtime.runtime import Runtime
from bntt.io.child import ONE_THREAD, environment

CALLS = 5
"""Calls of each bundle and number of steps in a round."""


def timed(folder: Path, names: Sequence[str], steps: Sequence[int], rounds: int) -> dict[tuple[str, int], float]:
    """Return the least CPU milliseconds of a call by bundle and steps, timed in turn in a separate process."""
    told = json.dumps({"folder": str(folder), "names": list(names), "steps": list(steps), "rounds": rounds})
    command = [sys.executable, "-P", "-m", "bntt.runs.deployment.timed", told]
    found = subprocess.run(
        command, capture_output=True, text=True, env=environment(**ONE_THREAD), stdin=subprocess.DEVNULL
    )
    if found.returncode:
        said = found.stderr.strip().splitlines() or [f"exit code {found.returncode}"]
        raise RuntimeError(f"timing the bundles ended early: {said[-1][-500:]}")
    return {(name, after): milliseconds for name, after, milliseconds in json.loads(found.stdout)}


def main(told: str) -> int:
    """Time all bundles."""
    wanted: dict[str, Any] = json.loads(told)
    folder, least = Path(wanted["folder"]), dict[tuple[str, int], float]()
    sample, runtimes = np.load(folder / "sample.npy"), {name: Runtime(folder / name) for name in wanted["names"]}
    for _ in range(wanted["rounds"]):
        for name, runtime in runtimes.items():
            for after in wanted["steps"]:
                for _ in range(CALLS):
                    began = time.process_time()
                    runtime.run(sample, steps=after)
                    took = 1e3 * (time.process_time() - began)
                    least[name, after] = min(took, least.get((name, after), took))
    sys.stdout.write(json.dumps([(*way, milliseconds) for way, milliseconds in least.items()]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

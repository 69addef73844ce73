"""SIGKILL at random times, again and again, in one run that keeps itself every second: R3."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

from bntt.io.checkpoint import CheckpointError
from bntt.runs.directory import RunDirectory
from bntt.training import session
from tests.robustness.processes import ended, finished, outcome, start
from tests.robustness.promise import Measured, promise

RECIPE = """
data = { name = "fashion-mnist-bundled", augment = ["flip"], validation = 0.2 }
network = { name = "mlp", num_steps = 2 }
train = { epochs = EPOCHS, batch_size = 100, optimizer = "adamw", lr = 0.001, average = 0.9 }
evaluate = { draws = 1, batch_size = 500 }
checkpoint = { every_minutes = 0.01667, last = 2 }
"""
INTERVAL, SLACK = 1.0, 1.0
"""Seconds between two checkpoints, and what an update, a validation and a save may take beyond on a busy machine."""


def so_often(kills: int) -> tuple[str, list[str]]:
    """In one run after another that ends: what came of it, and all that was wrong."""
    done, runs, wrong = 0, 0, list[str]()
    while done < kills and len(wrong) < 3:
        with tempfile.TemporaryDirectory() as folder:
            killed, found = killed_run(Path(folder), kills - done)
        done, runs, wrong = done + killed, runs + 1, wrong + found
    print(f"{done} kills in {runs} runs: {len(wrong)} wrong", *wrong, sep="\n  ", flush=True)
    return f"{done} kills in {runs} runs: {len(wrong)} wrong", wrong


def killed_run(folder: Path, count: int) -> tuple[int, list[str]]:
    """Kill a run so often, or until it ends; then let it end, beside one that was left alone: kills, what is wrong."""
    recipe, dice, wrong, highest = folder / "run.toml", random.Random(0), list[str](), 0
    recipe.write_text(RECIPE.replace("EPOCHS", str(max(4, count))), encoding="utf-8")
    run, alone, log, done = folder / "run", folder / "alone", folder / "log", folder / "done"
    train = ["train", str(recipe), "--root", str(folder)]

    def command() -> list[str]:
        """To go on; a run that was killed before it kept anything makes room for another of its name."""
        if run.exists() and RunDirectory(run).checkpoints.paths():
            return ["train", str(run), "--resume"]
        shutil.rmtree(run, ignore_errors=True)
        return train

    for number in range(count):
        done.unlink(missing_ok=True)
        child = start(command(), log, lambda: _note_updates(done))
        time.sleep(dice.uniform(1.0, 4.0))
        os.kill(child, signal.SIGKILL)
        killed = time.monotonic()
        if (code := ended(child)) != -signal.SIGKILL:
            count = number
            wrong += [f"kill {number}: ended before with {code}: {log.read_text()[-300:]}"] if code else []
            break
        updates = (line.split() for line in done.read_text().splitlines()) if done.exists() else ()
        due = max([highest, *(int(update) for update, when in updates if float(when) < killed - INTERVAL - SLACK)])
        highest, skipped = _kept(run)
        if highest < due or skipped:
            wrong.append(f"kill {number}: {highest} of {due} updates kept{skipped}")
    if finished(command(), log) or finished([*train, "--name", alone.name], log):
        return count, [*wrong, log.read_text()[-500:]]
    return count, wrong + ["OTHER BITS than those of a run that was left alone"] * (outcome(run) != outcome(alone))


def _note_updates(done: Path) -> None:
    """Let the process note when which update was done."""
    real = session.Session._recorded
    file = os.open(done, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def noted(self, *args):
        record = real(self, *args)
        os.write(file, f"{self.position.updates} {time.monotonic()}\n".encode())
        return record

    session.Session._recorded = noted


def _kept(run: Path) -> tuple[int, str]:
    """Updates that are kept, 0 where nothing can be read; and the checkpoint that cannot be, if there is one."""
    try:
        found = RunDirectory(run).checkpoints.latest()
    except CheckpointError:
        return 0, ""
    return int(found.checkpoint.facts["session"]["position"]["updates"]), "".join(found.skipped[:1])


@promise("R3", "200 kills: no unreadable last checkpoint, no more than one interval lost", long=True)
def killed() -> Measured:
    """All end with the bits of a run that was left alone."""
    said, wrong = so_often(200)
    return Measured("; ".join([said, *wrong[:1]]), not wrong)

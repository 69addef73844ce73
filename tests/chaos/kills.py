"""SIGKILL at random times, again and again, in one run that keeps itself every second."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

from bntt.io.checkpoint import CheckpointError
from bntt.runs.directory import RunDirectory
from bntt.training import session
from tests.chaos.child import ended, finished, start
from tests.chaos.outcome import outcome

RECIPE = """
data = { name = "fashion-mnist-bundled", augment = ["flip"], validation = 0.2 }
network = { name = "mlp", num_steps = 2 }
train = { epochs = EPOCHS, batch_size = 100, optimizer = "adamw", lr = 0.001, average = 0.9 }
evaluate = { draws = 1, batch_size = 500 }
checkpoint = { every_minutes = 0.01667, last = 2 }
"""
INTERVAL = 1.0
SLACK = 1.0
"""Seconds that an update, a validation and a save may take beyond the interval on a busy machine."""


def kills(folder: Path, count: int) -> int:
    """Kill so often; then let it end, beside a run that was left alone. The number of things that went wrong."""
    recipe, dice, wrong = folder / "run.toml", random.Random(0), 0
    recipe.write_text(RECIPE.replace("EPOCHS", str(max(4, count))), encoding="utf-8")
    log, directory, done = folder / "log", folder / "run", folder / "done"
    train = ["train", str(recipe), "--root", str(folder)]
    resume = ["train", str(directory), "--resume"]
    killed_so_far = highest = 0
    for number in range(count):
        done.unlink(missing_ok=True)
        child = start(resume if _goes_on(directory) else train, log, lambda: _noting(done))
        time.sleep(dice.uniform(1.0, 4.0))
        os.kill(child, signal.SIGKILL)
        killed = time.monotonic()
        if (code := ended(child)) != -signal.SIGKILL:
            print(f"kill {number}: had ended before with {code}: {log.read_text()[-300:]}", flush=True)
            if code:
                return wrong + 1
            break
        wrong += _judged(directory, done, killed, number, highest)
        highest = max(highest, _kept(directory))
        killed_so_far = number + 1
        if (number + 1) % 20 == 0:
            print(f"{number + 1} kills: {wrong} wrong", flush=True)
    if finished(resume if _goes_on(directory) else train, log):
        print(log.read_text()[-500:])
        return wrong + 1
    alone = folder / "alone"
    if finished([*train, "--name", alone.name], log):
        return wrong + 1
    same = outcome(directory) == outcome(alone)
    print(
        f"{killed_so_far} kills: {wrong} wrong; {'the bits of the run that was left alone' if same else 'OTHER BITS'}"
    )
    return wrong + (not same)


def _goes_on(directory: Path) -> bool:
    """Whether something was kept; a run that was killed before makes room for another of its name."""
    if directory.exists() and RunDirectory(directory).checkpoints.paths():
        return True
    shutil.rmtree(directory, ignore_errors=True)
    return False


def _noting(done: Path) -> None:
    """Let the process note when which update was done."""
    real = session.Session._recorded
    file = os.open(done, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def noted(self, *args):
        record = real(self, *args)
        os.write(file, f"{self.position.updates} {time.monotonic()}\n".encode())
        return record

    session.Session._recorded = noted


def _kept(directory: Path) -> int:
    """Updates that are kept; 0 where nothing can be read."""
    try:
        return int(RunDirectory(directory).checkpoints.latest().checkpoint.facts["session"]["position"]["updates"])
    except CheckpointError:
        return 0


def _judged(directory: Path, done: Path, killed: float, number: int, highest: int) -> int:
    """Whether what is there is readable, and holds all that was kept before, and all but the last interval."""
    lines = [line.split() for line in done.read_text().splitlines()] if done.exists() else []
    due = max([highest, *(int(update) for update, when in lines if float(when) < killed - INTERVAL - SLACK)])
    found, kept = RunDirectory(directory).checkpoints, _kept(directory)
    if kept and (wrong := found.latest().skipped):
        return _complain(f"kill {number}: {wrong[0]}")
    return 0 if kept >= due else _complain(f"kill {number}: {kept} of {due} updates kept")


def _complain(text: str) -> int:
    print(text, flush=True)
    return 1

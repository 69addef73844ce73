"""Stands in for :func:`bntt.cli.study.make_start` where a test is about the work and not about numbers.

Every training and every measurement is a line of ``diary`` beside the pool, and leaves files as a real one does. A
training whose norm is "tab" fails with code 6; one that ``deaths`` beside the pool still counts kills its process.
"""

import json
import os
import shutil
import signal
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from unittest import mock

from bntt.studies import make_runs
from bntt.studies.make_runs import Ended


class FailureError(Exception):
    """What a fake training fails with."""


def fake_start(task):
    """One start."""
    began, trained = time.monotonic(), []
    beside = Path(task.run).parents[1]

    def train(recipe, name, root, device):
        trained.append(name)
        write(beside, "train")
        die(beside / "deaths")
        text = recipe.read_text(encoding="utf-8")
        if 'norm = "tab"' in text:
            raise FailureError("numbers are not finite")
        make(beside, root / name, text, device)

    def measure(name, source, *, device, folder, **arguments):
        write(beside, name)
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps({"split": "test", "n": 1, "arguments": arguments}))

    try:
        with mock.patch.object(make_runs, "measure", measure):
            make_runs.make_run(task, train)
    except FailureError as error:
        return Ended(6, str(error), time.monotonic() - began, bool(trained))
    return Ended(0, "", time.monotonic() - began, bool(trained))


def write(beside, line):
    with open(beside / "diary", "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def die(deaths):
    """Kill this process, as often as a file says."""
    with suppress(FileNotFoundError):
        left = int(deaths.read_text())
        deaths.write_text(str(left - 1)) if left > 1 else deaths.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def make(beside, run, text, device):
    """The files of a training."""
    made = json.loads((beside / "made.json").read_text())
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    shutil.copy(beside / "made.safetensors", run / "checkpoints" / "best.safetensors")
    (run / "recipe.toml").write_text(text)
    (run / "environment.json").write_text(json.dumps({"data": {"sha256": made["sums"]}, "device": device}))
    recipe = tomllib.loads(text)
    rows = [json.dumps({"epoch": epoch}) for epoch in range(recipe["train"]["epochs"])]
    (run / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))
    draws = recipe["evaluate"]["draws"] if recipe["encoder"]["name"] == "poisson" else 1
    (run / "evaluation.json").write_text(json.dumps(made["evaluation"] | {"draws": draws}))

"""Trained runs that tests share: each is trained once per test run, whatever the number of worker processes.

Nobody writes into one (each hand-out looks whether somebody did); a test that must, takes a copy.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from bntt.cli import main as cli
from bntt.runs.directory import RunDirectory
from bntt.runs.open_run import LoadedRun, load_run
from bntt.runs.training.train import train_run
from tests.checking import THREADS

SMALL = ("network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900", "evaluate.draws=1")
"""Settings that make the demo a matter of two seconds."""


def trained_run(**tables: object) -> RunDirectory:
    """The tiny run (60 bundled images, T = 3, two epochs: enough for γ to move), with other values in its recipe."""
    from tests.runs.tiny import parts, recipe

    def train(folder: Path) -> None:
        of = recipe(**{**tables, "train": {"epochs": 2, "lr": 0.3, **tables.get("train", {})}})
        for _ in train_run(of, parts(of), RunDirectory(folder)):
            pass

    return RunDirectory(_once("tiny", tables, train))


def opened_run(**tables: object) -> LoadedRun:
    """The tiny run, opened."""
    return load_run(trained_run(**tables).path)


def copied_run(folder: Path, **tables: object) -> RunDirectory:
    """A copy of the tiny run, which a test may spoil."""
    return RunDirectory(shutil.copytree(trained_run(**tables).path, folder / "copy"))


def demo_run(*settings: str) -> RunDirectory:
    """What ``bntt train demo`` leaves behind with the settings of ``SMALL`` and these: all images, and evaluated."""

    def train(folder: Path) -> None:
        flags = [part for setting in (*SMALL, *settings) for part in ("-s", setting)]
        assert (
            cli.main(["train", "demo", *flags, "--root", str(folder.parent), "--name", folder.name, "--or-resume"]) == 0
        )

    return RunDirectory(_once("demo", settings, train))


def copied_demo(folder: Path) -> RunDirectory:
    """A copy of the demo's run."""
    return RunDirectory(shutil.copytree(demo_run().path, folder / "demo"))


def _once(kind: str, key: object, train: Callable[[Path], None]) -> Path:
    """The folder of a run that the first who asks for it trains, while others wait."""
    words = json.dumps(key, sort_keys=True)
    place = Path(os.environ["BNTT_SHARED_RUNS"]) / f"{kind}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    seal = place.with_suffix(".files")
    with FileLock(f"{place}.lock"):
        if not seal.exists():
            (place / "checkpoints").mkdir(parents=True)
            torch.set_num_threads(THREADS)
            torch.use_deterministic_algorithms(True)  # as in every test, and not in fixtures of a module
            train(place)
            seal.write_text(_files(place))
    assert seal.read_text() == _files(place), f"a test wrote into the shared run {kind} {words}: take a copy"
    return place


def _files(place: Path) -> str:
    """Names, sizes and times of a run's files; a lock is touched by whoever opens it."""
    found = [path for path in sorted(place.rglob("*")) if path.is_file() and path.name != "lock"]
    return "\n".join(f"{path.relative_to(place)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in found)

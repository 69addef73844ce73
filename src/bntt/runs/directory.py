"""A run directory and the files in it.

It holds ``recipe.toml`` (resolved), ``environment.json``, ``metrics.jsonl`` (a line an epoch), ``curves.png``,
``checkpoints/``, TensorBoard events where tensorboard is installed and, once measured, ``evaluation.json`` and such.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bntt.io.checkpoint import CheckpointError
from bntt.io.files import parse_json, write_json
from bntt.runs.training.checkpoints import Kept


@dataclass(frozen=True)
class RunDirectory:
    """Where a run's files are."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def rows(self) -> list[dict[str, Any]]:
        """What ``metrics.jsonl`` says of every epoch."""
        return [parse_json(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]

    def has_rows(self) -> bool:
        """Whether ``metrics.jsonl`` is there and can be read."""
        try:
            return bool(self.rows())
        except (OSError, ValueError):
            return False

    def spent(self) -> dict[str, Any]:
        """What the training has cost so far: ``updates`` of the optimiser, and ``seconds`` with validation; None where
        ``metrics.jsonl`` does not say."""
        last = self.rows()[-1] if self.has_rows() else {}
        return {"updates": last.get("updates"), "seconds": last.get("seconds")}

    def keep(self, stem: str, values: Mapping[str, object]) -> Path:
        """Write numbers as ``<stem>.json``, whole or not at all.

        Raises:
            OSError: if they cannot be written; what was there before is then still there.
        """
        path = self.path / f"{stem}.json"
        write_json(path, values)
        return path

    @property
    def best(self) -> Path:
        """The weights of the epoch that validated best."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def kept(self) -> Kept:
        """The training as it was, at its latest stops."""
        return Kept(self.path / "checkpoints")


def stem_of(what: str, split: str, usual: str = "test") -> str:
    """What the files of a measurement are called: those of another split than the usual one are files of their own.

    >>> stem_of("activity", "test"), stem_of("activity", "validation")
    ('activity', 'activity-validation')
    """
    return what if split == usual else f"{what}-{split}"


def new_run_directory(name: str, root: Path) -> RunDirectory:
    """``root/name``, or ``root/name-2`` and so on: no run is ever overwritten."""
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        (folder / "checkpoints").mkdir()
        return RunDirectory(folder)
    raise AssertionError("there is always a next number")


def begun_directory(name: str, root: Path) -> RunDirectory:
    """``root/name`` itself, made if it is not there; who works in it is for its lock to say."""
    run = RunDirectory(root / name)
    (run.path / "checkpoints").mkdir(parents=True, exist_ok=True)
    return run


def find_run(path: Path) -> RunDirectory:
    """The run in this directory.

    Raises:
        CheckpointError: if there is none.
    """
    run = RunDirectory(path)
    if not run.recipe.is_file():
        raise CheckpointError(f"{path} is not a run directory: it has no recipe.toml")
    return run

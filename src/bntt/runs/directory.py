"""A run directory and the files in it.

``FILES`` says what a training leaves there. Once measured, it also holds ``evaluation.json`` and others.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from bntt.analysis.measurement import ArgumentError
from bntt.io.checkpoint import Checkpoint, CheckpointError, load_checkpoint, read_checkpoint, write_checkpoint
from bntt.io.files import parse_json
from bntt.nn import SpikingClassifier
from bntt.runs.recipe.file import Recipe
from bntt.training import set_thresholds

FILES = {
    "recipe.toml": "The recipe, with every default written out.",
    "environment.json": "Commit, processor, versions, threads, command, checksums of the data; the parts of `--with`.",
    "metrics.jsonl": "One line per epoch: losses, accuracies, learning rate, γ, firing rates, seconds.",
    "curves.png": "These lines as curves.",
    "checkpoints/best.safetensors": "Weights of the epoch that validated best, with the recipe.",
    "checkpoints/step-*.safetensors": "All that training needs to continue, after this number of updates.",
    "events.out.tfevents*": "The same numbers for TensorBoard, where the extra `track` is installed.",
    "data/": "Validation and test samples of a run that `bntt.fit(directory=...)` made.",
    "lock, lock.json": "Held while a process trains there; it names the process.",
}
"""What a training leaves in its directory; measurements add files of their own names."""


class LatestCheckpoint(NamedTuple):
    """The latest readable checkpoint."""

    path: Path
    checkpoint: Checkpoint
    skipped: tuple[str, ...]
    """Errors of later checkpoints, which were skipped."""


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints ``step-000000123.safetensors``, named and ordered by the number of updates, not by clock."""

    folder: Path

    def paths(self) -> list[Path]:
        """Return the paths, latest first."""
        found = [path for path in self.folder.glob("step-*.safetensors") if path.stem[5:].isdecimal()]
        return sorted(found, key=lambda path: int(path.stem[5:]), reverse=True)

    def write(self, updates: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], last: int) -> Path:
        """Write and verify the next checkpoint, then delete all but the ``last`` ones."""
        path = self.folder / f"step-{updates:09}.safetensors"
        write_checkpoint(path, tensors, facts)
        kept = [old for old in self.paths() if int(old.stem[5:]) < updates][: last - 1]
        for old in {*self.paths()} - {path, *kept}:
            with suppress(OSError):  # it stays for one checkpoint longer
                old.unlink()
        return path

    def tidy(self) -> None:
        """Delete files left half-written by a kill; the caller must be the only writer here."""
        for stump in self.folder.glob("*.tmp"):
            with suppress(OSError):
                stump.unlink()

    def latest(self) -> LatestCheckpoint:
        """Return the latest sound checkpoint."""
        skipped: list[str] = []
        for path in self.paths():
            try:
                return LatestCheckpoint(path, read_checkpoint(path), tuple(skipped))
            except CheckpointError as error:
                skipped.append(str(error))
        if skipped:
            raise CheckpointError(f"no checkpoint can be used: {'; '.join(skipped[:5])}")
        raise CheckpointError(f"{self.folder} holds no checkpoint: nothing to resume, start a new run")


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run's files."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def rows(self) -> list[dict[str, Any]]:
        """Read the rows of ``metrics.jsonl``, one per epoch."""
        return [parse_json(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]

    def kept_rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.jsonl``; none if it is missing or damaged."""
        try:
            return self.rows()
        except (OSError, ValueError):
            return []

    def training_cost(self) -> dict[str, Any]:
        """Return the cost of training so far: ``updates``, and ``seconds`` including validation."""
        last: dict[str, Any] = next(reversed(self.kept_rows()), {})
        return {key: last.get(key) for key in ("updates", "seconds")}

    @property
    def best(self) -> Path:
        """Path of the weights with the best validation accuracy."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def checkpoints(self) -> Checkpoints:
        """Checkpoints of the training state."""
        return Checkpoints(self.path / "checkpoints")


def check_folders(*folders: Path | None) -> None:
    """Refuse output folders that are a file, lie below one, or cannot be written to, before anything is computed."""
    for folder in filter(None, folders):
        place = next((one for one in (folder, *folder.parents) if one.exists()), Path())
        if not place.is_dir():
            raise ArgumentError(f"{folder} cannot be a folder to write, because {place} is a file: name another")
        if not os.access(place, os.W_OK):
            raise PermissionError(f"{folder} cannot be a folder to write, because {place} is read-only: name another")


def new_run_directory(name: str, root: Path) -> RunDirectory:
    """Create ``root/name``, or ``root/name-2`` and so on: no run is ever overwritten."""
    check_folders(root)
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            break
    (folder / "checkpoints").mkdir()
    return RunDirectory(folder)


def open_or_create_run(name: str, root: Path) -> RunDirectory:
    """Return ``root/name`` itself, created if missing; its lock guards against concurrent use."""
    run = RunDirectory(root / name)
    check_folders(run.path)
    (run.path / "checkpoints").mkdir(parents=True, exist_ok=True)
    return run


def find_run(path: Path) -> RunDirectory:
    """Return the run in this directory."""
    run = RunDirectory(path)
    if not run.recipe.is_file():
        beside = "runs" / path
        hint = f"; {beside} is one" if RunDirectory(beside).recipe.is_file() else ""
        why = "it has no recipe.toml" if path.exists() else "there is no such folder"
        raise CheckpointError(f"{path} is not a run directory: {why}{hint}")
    return run


def load_best(run: RunDirectory, recipe: Recipe, model: SpikingClassifier, needs: Sequence[str]) -> dict[str, Any]:
    """Load weights and thresholds of a run's best epoch into the model; return the facts."""
    facts = load_checkpoint(run.best, model, needs=needs)
    restore_thresholds(model, recipe, facts, run.best)
    return facts


def restore_thresholds(model: SpikingClassifier, recipe: Recipe, facts: Mapping[str, Any], checkpoint: Path) -> None:
    """Set the thresholds stored in a checkpoint, if the recipe is of a converted network."""
    if recipe.convert.ann:
        with usable(checkpoint, "it must say the thresholds of the converted network"):
            set_thresholds(model.network, facts["conversion"]["thresholds"])


@contextmanager
def usable(file: Path, remedy: str) -> Iterator[None]:
    """Turn an error in reading or using a file of a run into a CheckpointError that names the file and a remedy."""
    try:
        yield
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing: {remedy}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"{file} cannot be used ({said}): {remedy}") from None

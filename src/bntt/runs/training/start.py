"""Start of a training: from a command to a recipe and a run directory, or to a resumable run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from bntt.engine.kernels import BackendError, find_backend
from bntt.io.checkpoint import CheckpointError, read_checkpoint, read_facts
from bntt.io.errors import DataError
from bntt.io.files import last_name
from bntt.io.lock import hold_run
from bntt.runs.directory import (
    LatestCheckpoint,
    RunDirectory,
    check_folders,
    find_run,
    new_run_directory,
    open_or_create_run,
)
from bntt.runs.identity import RESUMING, check_same_data, check_same_recipe, check_same_rules, trained_recipe
from bntt.runs.parts import LOADED, check_parts
from bntt.runs.recipe.build import with_absolute_paths
from bntt.runs.recipe.datasets import RecipeData
from bntt.runs.recipe.file import Recipe, RecipeError, load_recipe
from bntt.training.processes import Processes

Changed = dict[str, tuple[Any, Any]]
"""Keys of a recipe that differ, each with its old and new value."""


def check_resume(recipe: Recipe, run: RunDirectory, *, forget_best: bool = False) -> tuple[LatestCheckpoint, Changed]:
    """Check that the run can be resumed with this recipe, before the data is read."""
    found = run.checkpoints.latest()
    facts = found.checkpoint.facts
    check_parts(run.path, resuming=True)
    changed = check_same_recipe(recipe, facts, found.path, RESUMING)
    check_same_rules(recipe, facts, found.path, resuming=True)
    begun, wanted = changed.get("train.epochs", (0, 0))
    for key, applies, why in (
        ("train.epochs", wanted < begun, f"epochs can only be added ({facts['epochs_done']} are done)"),
        ("train.epochs", wanted > begun and recipe.train.schedule == "one-cycle", "a one-cycle cannot be extended"),
        ("compute.precision", "bf16" in changed.get("compute.precision", ()), "it has another forward pass"),
    ):
        if applies:
            then, now = changed[key]
            raise RecipeError(f"{key}: {now!r} cannot follow the {then!r} that it began with: {why}; train a new run")
    if facts["best"] is not None and not forget_best:
        try:
            read_checkpoint(run.best)
        except CheckpointError as error:
            way = "--forget-best resumes, and the best is then chosen from later epochs"
            if not recipe.data.name:
                way = "with samples given in Python only a new run can go on: take another directory"
            raise CheckpointError(f"{error}: the best epoch's weights are lost; {way}") from None
    return found, changed


def resume_state(
    recipe: Recipe, data: RecipeData, run: RunDirectory, processes: Processes, *, forget_best: bool
) -> tuple[LatestCheckpoint, Changed, float | None]:
    """Return checkpoint, changed keys and best validation accuracy to resume from; the first process reads them."""

    def look() -> tuple[LatestCheckpoint, Changed, float | None]:
        found, changed = check_resume(recipe, run, forget_best=forget_best)
        check_same_data(run.path, data.manifest)
        facts = found.checkpoint.facts
        best: float | None = facts["best"]
        try:
            ahead = (file := read_facts(run.best))["epoch"] >= facts["epochs_done"]
            if ahead and changed.keys() & {"evaluate.every", "train.epochs"}:
                best = file["validation_accuracy"]
        except CheckpointError:
            best = None if forget_best else best
        return found, changed, best

    return processes.decided(look)


@dataclass(frozen=True)
class TrainCommand:
    """Arguments of ``bntt train``."""

    recipe: str
    """Name or file of a recipe; with ``resume`` a run directory."""
    overrides: tuple[str, ...] = ()
    name: str = ""
    root: str = "runs"
    resume: bool = False
    forget_best: bool = False
    or_resume: bool = False


class TrainingStart(NamedTuple):
    """A recipe, how the first process opens its run directory, and if that resumes from its last checkpoint."""

    recipe: Recipe
    open_directory: Callable[[], RunDirectory]
    resumes: bool


def resume_or_start(command: TrainCommand) -> TrainingStart:
    """Read recipe and run directory, and refuse what cannot be trained or resumed, before any data is read."""
    there, quoted = RunDirectory(Path(command.recipe)), quote(command.recipe)
    for wrong, why in (
        (command.resume and command.name, "--resume continues in the run's own directory: leave out --name"),
        (command.forget_best and not command.resume, "--forget-best is for --resume: a new run has no best epoch yet"),
        (
            not command.resume and there.recipe.is_file(),
            f"{command.recipe} is a run: bntt train {quoted} --resume resumes it, and bntt train "
            f"{quote(str(there.recipe))} --name NAME starts its recipe again",
        ),
    ):
        if wrong:
            raise RecipeError(why)
    if command.resume:
        run = find_run(there.path)
        check_parts(run.path, resuming=True)
        recipe = load_recipe(run.recipe, command.overrides, stored=True)
        with hold_run(run.path):  # another process training there is reported first
            check_resume(with_absolute_paths(recipe), run, forget_best=command.forget_best)
        return TrainingStart(recipe, partial(RunDirectory, run.path), True)
    recipe, root = load_recipe(command.recipe, command.overrides), Path(command.root)
    folder = command.name or Path(command.recipe).stem
    check_name(folder)
    if command.or_resume:
        run = open_or_create_run(folder, root)
        if resumes := resumes_in(run, with_absolute_paths(recipe)):
            as_begun = [f"compute.{key}={value}" for key, value in rounding_of(run).items()]
            recipe = load_recipe(command.recipe, [*as_begun, *command.overrides])
        return TrainingStart(recipe, partial(RunDirectory, run.path), resumes)
    check_folders(root)
    return TrainingStart(recipe, partial(new_run_directory, folder, root), False)


def resumes_in(run: RunDirectory, recipe: Recipe) -> bool:
    """Return True if there is a checkpoint to resume from, False if a training may start in the directory."""
    resumes, trains = bool(run.checkpoints.paths()), recipe.train.epochs > 0
    if resumes != trains and (resumes or run.best.is_file()):
        there = (
            "weights, and no checkpoint step-* to resume from" if trains else "a training (train.epochs = 0 is none)"
        )
        raise CheckpointError(
            f"{run.path} has {there}: nothing is overwritten; take another name, or delete the directory"
        )
    if run.best.is_file() and not resumes:
        check_same_recipe(recipe, read_facts(run.best), run.best, RESUMING)
    return resumes


def rounding_of(run: RunDirectory) -> dict[str, Any]:
    """Return the compute options that decide the rounding of a training with a checkpoint, to resume with its bits."""
    found = run.checkpoints.latest()
    begun = trained_recipe(found.checkpoint.facts, found.path).compute
    return {key: getattr(begun, key) for key in ("events", "input_grad", "rectifiers")}


def check_name(folder: str) -> None:
    """Refuse anything but the name of one folder."""
    one = Path(folder).name == folder and folder.strip() not in ("", ".", "..")
    if not one or len(folder) > 100 or not folder.isprintable():
        raise RecipeError(f"--name {folder!r}: a run's name is one folder name of at most 100 printable characters")


def resume_or_start_in_all(command: TrainCommand, processes: Processes) -> TrainingStart:
    """Start or resume the same training in all processes; only the first one reads."""
    first, mine = processes.decided(lambda: _words(command)), _words(command)
    if first != mine:
        raise RecipeError(f"process {processes.rank} was started with {mine}, process 0 with {first}: use one command")
    return processes.decided(lambda: resume_or_start(command))


def _words(command: TrainCommand) -> str:
    words = asdict(command) | {"with": [(last_name(part.source), part.version) for part in LOADED]}  # paths differ
    return ", ".join(f"{name} = {value!r}" for name, value in words.items() if value)


def check_shareable(recipe: Recipe, data: RecipeData, processes: Processes, *, resuming: bool) -> None:
    """Refuse, in every process alike, what several processes cannot do together."""
    count, rank = processes.count, processes.rank
    if count == 1:
        return
    if recipe.convert.ann and (recipe.train.epochs == 0 or not resuming):
        raise RecipeError(f"convert.ann: one process balances thresholds, not {count}: begin with one, then --resume")
    validated = recipe.evaluate.batch_size
    for key, kind, samples, wanted in (
        ("train", "training", len(data.train), recipe.train.batch_size),
        ("evaluate", "validation", len(data.validation), validated),
        ("evaluate", "test", recipe.evaluate.images or len(data.test), validated),
    ):
        batches = math.ceil(samples / wanted)
        smallest = samples // batches if key == "train" else math.ceil(samples / batches)
        if smallest < count:
            raise RecipeError(
                f"{key}.batch_size: {wanted} makes batches of {smallest} out of {samples:,} {kind} samples, fewer "
                f"than there are processes, {count}: each of them needs a sample of every batch"
            )
    found = {**data.manifest.sha256, **data.facts()["samples"]}
    if (first := processes.decided(lambda: found)) != found:
        raise DataError(f"process {rank} found other data than process 0: {found} in place of {first}")
    if recipe.compute.backend == "auto" and processes.device == "cpu":  # plain and fused layers sum different tables
        ours = find_backend("cpu").available
        if processes.decided(lambda: ours) != ours:
            raise BackendError(
                f"process {rank} {'has' if ours else 'lacks'} the compiled kernels, unlike process 0: install bntt "
                f"alike for both, or set compute.backend=reference"
            )

"""Start of a training: from a command to a recipe and a run directory, or to a resumable run."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from bntt.io.checkpoint import Checkpoint, CheckpointError, read_checkpoint, read_facts
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
from bntt.runs.recipe.file import Recipe, RecipeError, dump_recipe, load_recipe, parse_recipe
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
    if "train.epochs" in changed:
        begun, wanted = changed["train.epochs"]
        if wanted < begun:
            done = facts["epochs_done"]
            raise RecipeError(f"train.epochs: {wanted} is fewer than the {begun} that it began with ({done} are done)")
        if recipe.train.schedule == "one-cycle":
            raise RecipeError(
                f"train.epochs: a one-cycle schedule of {begun} epochs cannot be extended to {wanted}: its rates "
                f"would have differed from the start; train a new run"
            )
    if "bf16" in changed.get("compute.precision", ()):
        begun, wanted = changed["compute.precision"]
        raise RecipeError(
            f"compute.precision: {wanted!r} has another forward pass than {begun!r}, which it began with: train a new "
            f"run"
        )
    if facts["best"] is not None and not forget_best:
        try:
            read_checkpoint(run.best)
        except CheckpointError as error:
            way = "--forget-best resumes, and the best is then chosen from later epochs"
            if not recipe.data.name:
                way = "with samples given in Python only a new run can go on: take another directory"
            raise CheckpointError(f"{error}: the best epoch's weights are lost; {way}") from None
    return found, changed


@dataclass(frozen=True)
class ResumeState:
    """State that a run resumes from."""

    found: LatestCheckpoint
    changed: Changed
    best: float | None
    """Best validation accuracy so far."""


def resume_state(
    recipe: Recipe, data: RecipeData, run: RunDirectory, processes: Processes, *, forget_best: bool
) -> ResumeState:
    """Return the state to resume from: the first process reads it, and sends it to the others."""
    read: list[Checkpoint] = []

    def look() -> dict[str, Any]:
        found, changed = check_resume(recipe, run, forget_best=forget_best)
        check_same_data(run.path, data.manifest)
        read.append(found.checkpoint)
        seldom = not changed.keys().isdisjoint({"evaluate.every", "train.epochs"})
        best = _best_so_far(run, found.checkpoint.facts, forget_best, seldom)
        told = {"path": str(found.path), "skipped": list(found.skipped), "changed": changed, "best": best}
        return {**told, "facts": found.checkpoint.facts}

    told = processes.decided(look)
    tensors = dict(processes.given(read[0].tensors if read else {}))
    found = LatestCheckpoint(Path(told["path"]), Checkpoint(tensors, told["facts"]), tuple(told["skipped"]))
    return ResumeState(found, {key: (then, now) for key, (then, now) in told["changed"].items()}, told["best"])


def _best_so_far(run: RunDirectory, facts: dict[str, Any], forget_best: bool, seldom: bool) -> float | None:
    """Return the best validation accuracy so far."""
    best: float | None = facts["best"]
    try:
        file = read_facts(run.best)
    except CheckpointError:
        return None if forget_best else best
    ahead = file["epoch"] >= facts["epochs_done"]
    found: float | None = file["validation_accuracy"] if ahead and seldom else best
    return found


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


@dataclass(frozen=True)
class TrainingStart:
    """A training that is ready to start."""

    recipe: Recipe
    open_directory: Callable[[], RunDirectory]
    """Function that creates the run directory if there is none yet; for the first process."""
    resumes: bool
    """True if the run resumes from its last checkpoint."""


def resume_or_start(command: TrainCommand) -> TrainingStart:
    """Read recipe and run directory, and refuse what cannot be trained or resumed, before any data is read."""
    if command.resume:
        run = find_run(Path(command.recipe))
        if command.name:
            raise RecipeError("--resume continues in the run's own directory: leave out --name")
        check_parts(run.path, resuming=True)
        recipe = load_recipe(run.recipe, command.overrides, stored=True)
        with hold_run(run.path):  # another process training there is reported first
            check_resume(with_absolute_paths(recipe), run, forget_best=command.forget_best)
        return TrainingStart(recipe, lambda: run, True)
    if command.forget_best:
        raise RecipeError("--forget-best is for --resume: a new run has no best epoch yet")
    if RunDirectory(Path(command.recipe)).recipe.is_file():
        raise RecipeError(
            f"{command.recipe} is a run: bntt train {quote(command.recipe)} --resume resumes it, and "
            f"bntt train {quote(str(RunDirectory(Path(command.recipe)).recipe))} --name NAME starts its recipe again"
        )
    recipe, root = load_recipe(command.recipe, command.overrides), Path(command.root)
    folder = command.name or Path(command.recipe).stem
    check_name(folder)
    if command.or_resume:
        run = open_or_create_run(folder, root)
        if resumes := resumes_in(run, with_absolute_paths(recipe)):
            as_begun = [f"compute.{key}={value}" for key, value in rounding_of(run).items()]
            recipe = load_recipe(command.recipe, [*as_begun, *command.overrides])
        return TrainingStart(recipe, lambda: run, resumes)
    check_folders(root)
    return TrainingStart(recipe, lambda: new_run_directory(folder, root), False)


def resumes_in(run: RunDirectory, recipe: Recipe) -> bool:
    """Return True if there is a checkpoint to resume from, False if a training may start in the directory."""
    if run.checkpoints.paths():
        if not recipe.train.epochs:
            raise CheckpointError(
                f"{run.path} has a training, and train.epochs = 0 trains nothing: nothing is overwritten; take another "
                f"name, or delete the directory"
            )
        return True
    if run.best.is_file():
        if recipe.train.epochs:
            raise CheckpointError(
                f"{run.path} has weights, and no checkpoint step-* to resume from: nothing is overwritten; take "
                f"another name, or delete the directory"
            )
        check_same_recipe(recipe, read_facts(run.best), run.best, RESUMING)
    return False


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
    if processes.count == 1:
        return resume_or_start(command)
    first, mine = processes.decided(lambda: _words(command)), _words(command)
    if first != mine:
        raise RecipeError(f"process {processes.rank} was started with {mine}, process 0 with {first}: use one command")
    found: list[TrainingStart] = []

    def work() -> list[str]:
        found.append(resume_or_start(command))
        return [dump_recipe(found[0].recipe), "again" if found[0].resumes else ""]

    text, again = processes.decided(work)
    if found:
        return found[0]
    return TrainingStart(parse_recipe(tomllib.loads(text)), lambda: RunDirectory(Path()), bool(again))


def _words(command: TrainCommand) -> str:
    words = asdict(command) | {"with": [(last_name(part.source), part.version) for part in LOADED]}  # paths differ
    return ", ".join(f"{name} = {value!r}" for name, value in words.items() if value)

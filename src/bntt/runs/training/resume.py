"""Where a run goes on, and whether it can: looked at by one process, and told to all that train it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bntt.io.checkpoint import Checkpoint, CheckpointError, read_checkpoint, read_facts
from bntt.runs.directory import RunDirectory
from bntt.runs.identity import RESUMING, check_same_data, check_same_recipe
from bntt.runs.recipe.datasets import Parts
from bntt.runs.recipe.file import Recipe, RecipeError
from bntt.runs.recipe.option_versions import check_same_rules
from bntt.runs.training.checkpoints import Found
from bntt.training.processes import Processes

Changed = dict[str, tuple[Any, Any]]
"""Keys of a recipe that differ, each with its value then and now."""


def check_resumable(recipe: Recipe, run: RunDirectory, *, forget_best: bool = False) -> tuple[Found, Changed]:
    """Look whether the run can go on with this recipe, before the data is read.

    Returns:
        The checkpoint to go on from, and the keys of the recipe that differ, each with its value then and now.

    Raises:
        CheckpointError: if nothing was kept, the recipe differs where it may not or one of its options meant something
            else then, or the best epoch's weights are lost.
        RecipeError: if it asks for fewer epochs, or for more of a schedule that cannot be drawn out.
    """
    found = run.kept.latest()
    facts = found.checkpoint.facts
    changed = check_same_recipe(recipe, facts, found.path, RESUMING)
    check_same_rules(recipe, facts, found.path, resuming=True)
    if "train.epochs" in changed:
        begun, wanted = changed["train.epochs"]
        if wanted < begun:
            done = facts["epochs_done"]
            raise RecipeError(f"train.epochs: {wanted} is fewer than the {begun} that it began with ({done} are done)")
        if recipe.train.schedule == "one-cycle":
            raise RecipeError(
                f"train.epochs: a one-cycle schedule of {begun} epochs cannot be drawn out to {wanted}: its rates "
                f"would have been others from the start; train a run of its own"
            )
    if facts["best"] is not None and not forget_best:
        try:
            read_checkpoint(run.best)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}: the best epoch's weights are lost; --forget-best goes on and takes the best of what comes"
            ) from None
    return found, changed


@dataclass(frozen=True)
class Going:
    """What a run goes on from."""

    found: Found
    changed: Changed
    best: float | None
    """The best validation accuracy so far."""


def going_on(recipe: Recipe, data: Parts, run: RunDirectory, processes: Processes, *, forget_best: bool) -> Going:
    """The checkpoint to go on from: the first process reads it, and gives it to the others.

    Raises:
        CheckpointError: if the run cannot be resumed, or recipe or data are not those that it began with.
        RecipeError: as :func:`check_resumable`.
    """
    read: list[Checkpoint] = []

    def look() -> dict[str, Any]:
        found, changed = check_resumable(recipe, run, forget_best=forget_best)
        check_same_data(run.path, data.manifest)
        read.append(found.checkpoint)
        best = _best_so_far(run, found.checkpoint.facts, forget_best, "evaluate.every" in changed)
        told = {"path": str(found.path), "passed_over": list(found.passed_over), "changed": changed, "best": best}
        return {**told, "facts": found.checkpoint.facts}

    told = processes.decided(look)
    tensors = dict(processes.given(read[0].tensors if read else {}))
    found = Found(Path(told["path"]), Checkpoint(tensors, told["facts"]), tuple(told["passed_over"]))
    return Going(found, {key: (then, now) for key, (then, now) in told["changed"].items()}, told["best"])


def _best_so_far(run: RunDirectory, facts: dict[str, Any], forget_best: bool, seldom: bool) -> float | None:
    """The best validation accuracy; a kill may have left the file one epoch ahead of the checkpoint, and where
    that epoch is not validated again, the file has the say."""
    best: float | None = facts["best"]
    try:
        file = read_facts(run.best)
    except CheckpointError:
        return None if forget_best else best
    ahead = file["epoch"] >= facts["epochs_done"]
    return float(file["validation_accuracy"]) if ahead and seldom else best

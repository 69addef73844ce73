"""Thresholds of a converted network: facts of its checkpoints, put into the model wherever one is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bntt.io.checkpoint import CheckpointError, load_checkpoint
from bntt.nn import SpikingClassifier
from bntt.runs.directory import RunDirectory
from bntt.runs.recipe.file import Recipe
from bntt.training import set_thresholds


def load_best(run: RunDirectory, recipe: Recipe, model: SpikingClassifier, needs: Sequence[str]) -> dict[str, Any]:
    """Read weights and thresholds of a run's best epoch into the model; returns the facts.

    Raises:
        CheckpointError: if it is damaged, of another model, or lacks a fact that is needed.
    """
    facts = load_checkpoint(run.best, model, needs=needs)
    put_thresholds(model, recipe, facts, run.best)
    return facts


def put_thresholds(model: SpikingClassifier, recipe: Recipe, facts: Mapping[str, Any], checkpoint: Path) -> None:
    """Those that a checkpoint says, where the recipe is of a converted network.

    Raises:
        CheckpointError: if it says none, or those of another network.
    """
    if not recipe.convert.ann:
        return
    try:
        set_thresholds(model.network, facts["conversion"]["thresholds"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{checkpoint} does not say the thresholds of the converted network ({error})") from None

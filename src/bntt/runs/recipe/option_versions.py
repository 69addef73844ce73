"""Versions of options whose numerics changed while every other recipe kept its numbers.

Raising :data:`~bntt.runs.environment.NUMERICS` invalidates every kept run. An option that alone changed has a version
instead, in the identity, environment and checkpoints of the recipes that use it; a run without one has version 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bntt.io.checkpoint import CheckpointError
from bntt.runs.recipe.schema import Recipe

TRAINING = {"train.warmup"}
"""Options that change the training alone: an old run can be measured, but not resumed."""


def rules_of(recipe: Recipe) -> dict[str, int]:
    """Return the versions of the options that a recipe uses: a warm-up rises with every update, it rose by epochs."""
    return {"train.warmup": 2} if recipe.train.warmup > 0 and recipe.train.lr_every == "epoch" else {}


def rules_facts(recipe: Recipe) -> dict[str, Any]:
    """Return the versions as a fact of a run; empty if there are none."""
    found = rules_of(recipe)
    return {"rules": found} if found else {}


def rules_in(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions from the facts of a run."""
    found = facts.get("rules", {})
    return found if isinstance(found, dict) else {"rules": found}


def check_same_rules(recipe: Recipe, facts: Mapping[str, Any], checkpoint: Path, *, resuming: bool) -> None:
    """Refuse to resume, or to measure, a run whose recipe means something else now than when it was trained."""
    now, then, run = rules_of(recipe), rules_in(facts), checkpoint.parent.parent
    changed = [one for one in now | then if now.get(one) != then.get(one) and (resuming or one not in TRAINING)]
    if changed:
        told = "; ".join(f"{one}: it was version {then.get(one, 1)}, here it is {now.get(one, 1)}" for one in changed)
        raise CheckpointError(
            f"{run} was trained by a version of bntt whose options mean something else ({told}): use that version, or "
            f"train it again as a run of its own: bntt train {run}/recipe.toml --name NAME"
        )

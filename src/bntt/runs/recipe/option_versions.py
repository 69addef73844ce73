"""Versions of options whose numerics changed while every other recipe kept its numbers.

Raising :data:`~bntt.runs.environment.NUMERICS` invalidates every kept run. A change of one option is a row of
:data:`RULES` instead: recipes that use the option are distinguished by its version, in the identity of a start, in
``environment.json`` and in checkpoints; all others keep their identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bntt.io.checkpoint import CheckpointError
from bntt.runs.recipe.schema import Recipe


@dataclass(frozen=True)
class Rule:
    """A change in the meaning of an option at a version; runs without one were made under version 1."""

    option: str
    """A key of a recipe."""
    version: int
    """Version number, at least 2."""
    applies: Callable[[Recipe], bool]
    """Predicate: True if a recipe uses what changed."""
    change: str
    """Description of the new and old behaviour, for messages."""
    measured: bool
    """True if it also changes what a trained network computes; else old runs can be measured but not resumed."""


RULES = (
    Rule(
        "train.warmup",
        2,
        lambda recipe: recipe.train.warmup > 0 and recipe.train.lr_every == "epoch",
        'with train.lr_every = "epoch" the rate of a warm-up rises with every update, it rose with every epoch',
        measured=False,
    ),
)


def rules_of(recipe: Recipe) -> dict[str, int]:
    """Return the versions of the options that a recipe uses, for those that have any.

    >>> from bntt.runs.recipe.file import load_recipe
    >>> rules_of(load_recipe("demo")), rules_of(load_recipe("demo", ["train.warmup=1"]))
    ({}, {'train.warmup': 2})
    """
    return {rule.option: rule.version for rule in RULES if rule.applies(recipe)}


def rules_facts(recipe: Recipe) -> dict[str, Any]:
    """Return the versions as a fact of a run, ``{"rules": ...}``; empty if there are none."""
    found = rules_of(recipe)
    return {"rules": found} if found else {}


def rules_in(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the option versions from the facts of a run.

    >>> rules_in({"rules": {"train.warmup": 2}}), rules_in({})
    ({'train.warmup': 2}, {})
    """
    found = facts.get("rules", {})
    return found if isinstance(found, dict) else {"rules": found}


def check_same_rules(recipe: Recipe, facts: Mapping[str, Any], checkpoint: Path, *, resuming: bool) -> None:
    """Refuse a run whose recipe means something else now than when it was trained.

    Args:
        facts: facts of the checkpoint.
        resuming: True if training is to be resumed; else the network is to be measured.

    Raises:
        CheckpointError: naming the option, and what to do.
    """
    now, then, run = rules_of(recipe), rules_in(facts), checkpoint.parent.parent
    free = set() if resuming else {rule.option for rule in RULES if not rule.measured}
    changed = [option for option in now | then if now.get(option) != then.get(option) and option not in free]
    if changed:
        told = "; ".join(_describe_change(option, then.get(option, 1), now.get(option, 1)) for option in changed)
        raise CheckpointError(
            f"{run} was trained by a version of bntt whose rules differ ({told}): use that version, or train it "
            f"again as a run of its own: bntt train {run}/recipe.toml --name NAME"
        )


def _describe_change(option: str, then: object, now: int) -> str:
    """Describe a change of an option, as far as known."""
    words = {rule.option: rule.change for rule in RULES if (then, now) == (rule.version - 1, rule.version)}
    return f"{option}: {words.get(option, f'it was rule {then}, here it is rule {now}')}"

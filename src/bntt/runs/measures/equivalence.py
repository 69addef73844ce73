"""A trained run beside what it folds to: the paper's equivalence (Section 3.3), measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from bntt.analysis.equivalence.folding import FOLDS, Differences, Equivalence, Fed, check_sequence, fold_equivalence
from bntt.runs.open_run import LoadedRun
from bntt.runs.recipe.datasets import Split
from bntt.runs.recipe.file import RecipeError
from bntt.nn import fold

BATCH = 50
"""Images at a time, of which nine networks have membranes."""

FED: dict[Fed, str] = {"true": "each layer alone, on true spikes", "own": "the network on its own spikes"}
"""What layers are fed with, in words."""


@dataclass(frozen=True)
class RunEquivalence:
    """What :func:`equivalence_run` measured."""

    epoch: int
    split: str
    dataset: str
    found: Equivalence


def equivalence_run(
    loaded: LoadedRun,
    *,
    split: Split = "validation",
    images: int = 1000,
    progress: Callable[[int], None] = lambda images: None,
) -> RunEquivalence:
    """Compare the best epoch's network with the four that it folds to, on some images of a split.

    Args:
        images: how many, as many of each class as the split's shares allow; all where there are fewer.
        progress: called with the number of images of every batch done.

    Raises:
        RecipeError: if ``images`` is below 1, or the network cannot be folded or has nothing to fold.
    """
    model = loaded.model
    if images < 1:
        raise RecipeError(f"images must be 1 or more, got {images}")
    try:
        check_sequence(model.network)
        fold(model.network)
    except ValueError as error:
        raise RecipeError(f"{loaded.path}: {error}") from None
    loader = dataclasses.replace(loaded.loader(split, images), batch_size=BATCH)
    found = fold_equivalence(model, loader, seed=loaded.recipe.seed, progress=progress)
    return RunEquivalence(loaded.epoch, split, loaded.data.label, found)


def as_json(result: RunEquivalence) -> dict[str, object]:
    """The numbers of a result with their names, ready for ``json``; differing spikes are shares of the neurons."""
    found = result.found
    return {
        "dataset": result.dataset,
        "split": result.split,
        "epoch": result.epoch,
        "images": found.samples,
        "accuracy": found.accuracy,
        "firing_rate": {layer: row.tolist() for layer, row in found.rate.items()},
        "heard_steps": {layer: [step + 1 for step in steps] for layer, steps in found.heard.items()},
        "folds": {name: _fold_as_json(name, found) for name in found.folds},
    }


def _fold_as_json(name: str, found: Equivalence) -> dict[str, object]:
    fold: Differences = found.folds[name]
    return {
        "keeps_mean": FOLDS[name].mean,
        "keeps_ratio": FOLDS[name].ratio,
        "accuracy": fold.accuracy,
        "agreement": fold.agreement,
        "differing_true_spikes": {layer: row.tolist() for layer, row in fold.true.items()},
        "differing_own_spikes": {layer: row.tolist() for layer, row in fold.own.items()},
    }


def as_rows(result: RunEquivalence) -> list[dict[str, object]]:
    """A row for each network, layer and step, from 1."""
    found = result.found
    return [
        {
            "network": name,
            "layer": layer,
            "step": t + 1,
            "heard": int(t in found.heard[layer]),
            "firing_rate": float(rate[t]),
            "differing_true_spikes": float(fold.true[layer][t]),
            "differing_own_spikes": float(fold.own[layer][t]),
            "accuracy": fold.accuracy,
        }
        for name, fold in found.folds.items()
        for layer, rate in found.rate.items()
        for t in range(len(rate))
    ]

"""Runs of a study that are one by definition: the same equations under two names, which a comparison counts once.

At α θ = 1 tdBN is standard BN over all steps, and BNTT scaled by α θ is BNTT. Nobody lists such pairs: two recipes are
one where they agree in all but the name of their norm, and every layer's norm of the one does what the other's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from bntt.models import MODELS
from bntt.nn import TemporalNorm
from bntt.runs.recipe.build import builder_options
from bntt.runs.recipe.schema import Recipe
from bntt.studies.pool import identity
from bntt.studies.start_plan import PlannedRun

NARROWEST = 1e-3
"""Width of the networks whose norms are looked at: a channel a layer."""


def same_runs(runs: Sequence[PlannedRun]) -> dict[str, str]:
    """Of every run that is another by definition, the first of its kind; of no other run anything."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for run in runs:
        start = run.starts[0]
        meant = f"{definition(start.recipe, start.begins_with)} {start.trained}"
        if first.setdefault(meant, run.name) != run.name:
            found[run.name] = first[meant]
    return found


def definition(recipe: Recipe, begins_with: str = "") -> str:
    """A digest of what a recipe computes, whatever its norm is called and whichever its seed is.

    Args:
        begins_with: what stands for the run whose network it begins with.

    >>> from bntt.runs.recipe.file import load_recipe
    >>> tdbn, pooled = (load_recipe("demo", [f"network.norm={norm}"]) for norm in ("tdbn", "bn-pooled"))
    >>> definition(tdbn) == definition(pooled)
    True
    """
    nameless = replace(recipe, network=replace(recipe.network, norm="none"), seed=0)
    return "; ".join([identity(nameless, begins_with), *_norms(recipe)])


def _norms(recipe: Recipe) -> list[str]:
    """What the norm of every layer does; its name alone where the network cannot be built."""
    options = {**builder_options(recipe), "width": NARROWEST, "num_classes": 1}
    try:
        network = MODELS[recipe.network.name](**options)
    except ValueError:
        return [recipe.network.norm]
    layers = network.layers.values()
    return [_does(layer.norm, recipe.network.norm) for layer in layers if layer.norm is not None]


def _does(norm: nn.Module, name: str) -> str:
    """What one norm does."""
    if type(norm) is not TemporalNorm:
        return name
    return repr((replace(norm.method, name=""), norm.scale, norm.eps, norm.momentum))

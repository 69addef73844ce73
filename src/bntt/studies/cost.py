"""Time and memory of trainings by :mod:`bntt.runs.training.estimate`, whether their data is here or not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

from bntt.data.errors import DataError
from bntt.data.prepared import Manifest
from bntt.data.registry import DATASETS
from bntt.engine.kernels import BackendError
from bntt.runs.recipe.build import build_model, input_shape
from bntt.runs.recipe.datasets import stand_in
from bntt.runs.recipe.schema import Recipe, RecipeError
from bntt.runs.training.estimate import LOADED, kept_bytes, time_left, update_seconds, updates_an_epoch
from bntt.studies.pool import manifest_here


class Cost(NamedTuple):
    """Cost of a training by a model, on one core."""

    seconds: float | None
    """Time of the training and its test; None if the network's operations cannot be counted."""
    peak_bytes: float
    """Memory of the process; on a GPU what is kept for the backward pass is about as much."""


def training_cost(recipe: Recipe) -> Cost | None:
    """Estimate a training and its test; None if nothing is trained, or the size of the data is unknown."""
    return _modelled(replace(recipe, seed=0, notes="")) if recipe.train.epochs else None


@cache
def _modelled(recipe: Recipe) -> Cost | None:
    try:
        return _cost(recipe)
    except (DataError, RecipeError, BackendError, ValueError):  # the training itself will say why
        return None


def _cost(recipe: Recipe) -> Cost | None:
    manifest = manifest_here(recipe) or _published(recipe)
    if manifest is None:
        return None
    data = stand_in(recipe, manifest)
    network, shape = build_model(recipe, data).network, input_shape(recipe, data)
    update = update_seconds(network, shape, len(data.train) / updates_an_epoch(recipe, data), threads=1)
    weights = 3 * sum(one.nbytes for one in network.parameters())  # with their gradients and an optimizer's moment
    peak = LOADED + weights + kept_bytes(network, shape)
    return Cost(None if update is None else time_left(recipe, data, update), peak)


def _published(recipe: Recipe) -> Manifest | None:
    """Return the size of data that is not here, as far as its distributor says it."""
    name, frames = recipe.data.name, recipe.data.frames
    dataset = DATASETS[name]
    shape = [recipe.network.num_steps, 2, frames.size, frames.size] if dataset.formats else list(dataset.shape)
    if not (dataset.samples[0] and dataset.classes and len(shape) >= 3):
        return None
    counts = dict(zip(("train", "test"), dataset.samples, strict=True))
    return Manifest(name, "", "unchecked", counts, shape, [str(number) for number in range(dataset.classes)])

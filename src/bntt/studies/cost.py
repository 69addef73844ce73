"""The time of a study's trainings by the model of :mod:`bntt.runs.training.cost`, also where their data is not here."""

from __future__ import annotations

from dataclasses import replace

from bntt.data.errors import DataError
from bntt.data.prepared import Manifest
from bntt.data.registry import DATASETS
from bntt.engine.kernels import BackendError
from bntt.runs.recipe.build import build_model, input_shape
from bntt.runs.recipe.datasets import stand_in
from bntt.runs.recipe.file import dump_recipe
from bntt.runs.recipe.schema import Recipe, RecipeError
from bntt.runs.training.cost import time_left, update_seconds, updates_an_epoch
from bntt.studies.pool import manifest_here

_KNOWN: dict[str, float | None] = {}
"""Seconds by recipe, whatever its seed."""


def training_seconds(recipe: Recipe) -> float | None:
    """Estimate the seconds of a training and its test on one core; None if nothing is trained, the size of the data is
    unknown, or the network's operations cannot be counted.

    >>> from bntt.runs.recipe.file import load_recipe
    >>> one, longer = (training_seconds(load_recipe("demo", [f"train.epochs={count}"])) for count in (1, 10))
    >>> 5 < longer / one < 10
    True
    """
    alike = replace(recipe, seed=0, notes="")
    key = dump_recipe(alike) if recipe.train.epochs else ""
    if key and key not in _KNOWN:
        try:
            _KNOWN[key] = _modelled(alike)
        except (DataError, RecipeError, BackendError, ValueError):  # the training itself will say why
            _KNOWN[key] = None
    return _KNOWN.get(key)


def _modelled(recipe: Recipe) -> float | None:
    manifest = manifest_here(recipe) or _published(recipe)
    if manifest is None:
        return None
    data = stand_in(recipe, manifest)
    network, shape = build_model(recipe, data).network, input_shape(recipe, data)
    update = update_seconds(network, shape, len(data.train) / updates_an_epoch(recipe, data), threads=1)
    return None if update is None else time_left(recipe, data, update)


def _published(recipe: Recipe) -> Manifest | None:
    """Return the size of data that is not here, as far as its distributor says it."""
    name, frames = recipe.data.name, recipe.data.frames
    dataset = DATASETS[name]
    shape = [recipe.network.num_steps, 2, frames.size, frames.size] if dataset.formats else list(dataset.shape)
    if not (dataset.samples[0] and dataset.classes and len(shape) >= 3):
        return None
    counts = dict(zip(("train", "test"), dataset.samples, strict=True))
    return Manifest(name, "", "unchecked", counts, shape, [str(number) for number in range(dataset.classes)])

"""Networks trained elsewhere, imported as run directories that every verb accepts.

A state dict says neither what a network was trained on nor how its input is encoded. With the name of a dataset the
weights become a run on that data as it is here: the caller vouches that the weights belong to it, and the run's notes
say so. Without one they become a checkpoint of the network only, for use in Python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

from bntt.io.checkpoint import CheckpointError, write_checkpoint
from bntt.io.files import digest, write_whole
from bntt.io.pickled import read_pickled
from bntt.models import MODELS
from bntt.nn import SpikingNetwork
from bntt.runs.directory import new_run_directory
from bntt.runs.environment import write_environment
from bntt.runs.identity import rules_facts
from bntt.runs.parts import parts_facts
from bntt.runs.recipe.build import build_model, builder_options, with_absolute_paths
from bntt.runs.recipe.datasets import RecipeData, build_data
from bntt.runs.recipe.file import Recipe, RecipeError, dump_recipe, parse_recipe, values_of
from bntt.training.foreign import LAYOUTS, Foreign, as_ours, read_foreign

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""Pixel statistics of the released code, for both CIFAR-10 and CIFAR-100."""
NOTES = """\
Imported from {file} ({layout} names), not trained here. The file says its weights, γ, statistics and T{leak}; the data,
the encoder, the pixels' mean and deviation, ε{unsaid} and the order of firing and integration are what was said when it
was imported. It is not known which images it was trained on: the validation part here may be among them.
"""
UNKNOWN_DATA = "imported"
"""Dataset name in the facts of a network that is only a checkpoint."""


@dataclass(frozen=True)
class Imported:
    """Result of importing a file."""

    path: Path
    """The run directory, or the checkpoint."""
    layout: str
    num_steps: int
    tensors: int
    """Number of tensors used from the file."""
    recipe: Recipe
    has_leak: bool
    """True if the file gives the leak."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ImportSettings:
    """Import settings given by the caller."""

    model: str
    """A name in ``MODELS``."""
    layout: str = ""
    """A name in ``LAYOUTS``; "" detects it from the file's names."""
    data: str = ""
    overrides: Sequence[str] = ()
    """Recipe overrides, ``table.key=value`` each."""
    mean: Sequence[float] = ()
    """Pixel mean per channel; empty: the released code's if the names are, else that of the training part."""
    std: Sequence[float] = ()


def import_network(file: Path, settings: ImportSettings, name: str, root: Path) -> Imported:
    """Import a ``torch.save`` file as a run or a checkpoint."""
    if settings.layout and settings.layout not in LAYOUTS:
        raise RecipeError(f"--layout {settings.layout!r}: choose one of {', '.join(LAYOUTS)}")
    state = read_pickled(file)
    try:
        foreign = read_foreign(state, settings.layout)
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from None
    recipe = _recipe_of(file, foreign, settings)
    place, tensors = (_as_run if settings.data else _as_checkpoint)(file, foreign, recipe, settings, (name, root))
    told = foreign.leak is not None, tuple(foreign.notes)
    return Imported(place, foreign.layout, foreign.num_steps, tensors, recipe, *told)


def _recipe_of(file: Path, foreign: Foreign, settings: ImportSettings) -> Recipe:
    """Build the recipe from the file and the settings; the rest are the defaults of the network's builder."""
    leak = foreign.leak
    said = {"leak": "" if leak is None else ", and the leak", "unsaid": ", the leak" if leak is None else ""}
    if settings.model in MODELS and leak is None:
        leak = signature(MODELS[settings.model]).parameters["leak"].default
    values: dict[str, Any] = {
        "notes": NOTES.format(file=file.name, layout=foreign.layout, **said),
        "data": {"name": settings.data or "synthetic"},
        "network": {
            "name": settings.model,
            "num_steps": foreign.num_steps,
            **({} if leak is None else {"leak": leak}),
            "norm": "bntt",
            "norm_eps": LAYOUTS[foreign.layout],
        },
        "imported": {"file": file.name, "sha256": digest(file), "layout": foreign.layout},
        "train": {"epochs": 0, "batch_size": 100},
    }
    return with_absolute_paths(parse_recipe(values, settings.overrides))


def _as_run(
    file: Path, foreign: Foreign, recipe: Recipe, settings: ImportSettings, place: tuple[str, Path]
) -> tuple[Path, int]:
    data = _with_pixels(build_data(recipe), foreign, settings)
    model = build_model(recipe, data)
    state = _fitting(file, foreign, model.network)
    model.network.load_state_dict(state)
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    run, written = new_run_directory(*place), dump_recipe(recipe)
    facts = {"epoch": 0, "validation_accuracy": None, "averaged": False, "recipe": written, **rules_facts(recipe)}
    write_environment(run.path, 0, {"device": "cpu", **rules_facts(recipe), **parts_facts(recipe), **data.facts()})
    write_checkpoint(run.best, tensors, facts)
    write_whole(run.recipe, written.encode())  # last: a directory without it is not a run
    return run.path, len(state)


def _as_checkpoint(
    file: Path, foreign: Foreign, recipe: Recipe, settings: ImportSettings, place: tuple[str, Path]
) -> tuple[Path, int]:
    if settings.mean or settings.std:
        raise RecipeError("--mean and --std are for an encoder, which a run has: name the data too (--data)")
    for override in settings.overrides:
        if not override.startswith("network."):
            raise RecipeError(f"-s {override}: without data only the network is made: name the data too (--data)")
    options = builder_options(recipe)
    weights = list(foreign.synapses.values())
    sizes = {"in_features": weights[0].shape[-1]} if weights[0].ndim == 2 else {"in_channels": weights[0].shape[1]}
    try:
        network = MODELS[recipe.network.name](**options, **sizes, num_classes=len(weights[-1]))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"network: {error}") from None
    state = _fitting(file, foreign, network)
    path = place[1] / f"{place[0]}.safetensors"
    if path.exists():
        raise RecipeError(f"{path} already exists: choose another --name")
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"network": values_of(recipe.network), "imported": values_of(recipe.imported), "data": UNKNOWN_DATA}
    write_checkpoint(path, {f"model.{key}": value for key, value in state.items()}, facts)
    return path, len(state)


def _fitting(file: Path, foreign: Foreign, network: SpikingNetwork) -> dict[str, Any]:
    try:
        return as_ours(foreign, network)
    except CheckpointError as error:
        raise CheckpointError(f"{file} {error}") from None


def _with_pixels(data: RecipeData, foreign: Foreign, settings: ImportSettings) -> RecipeData:
    """Return the data with the mean and deviation the network was trained with, as far as known."""
    channels = len(data.mean)
    released = foreign.layout == "released" and channels == len(MEAN)
    mean = list(settings.mean) or (list(MEAN) if released else data.mean)
    std = list(settings.std) or (list(STD) if released else data.std)
    usable = all(map(math.isfinite, (*mean, *std))) and all(value > 0 for value in std)
    if len(mean) != channels or len(std) != channels or not usable:
        raise RecipeError(
            f"--mean and --std: {channels} numbers each for {data.label}, all finite, deviations above 0, got {mean} "
            f"and {std}"
        )
    return replace(data, mean=mean, std=std)

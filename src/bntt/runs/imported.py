"""Networks trained elsewhere, imported as run directories that every command accepts.

A state dict says neither what a network was trained on nor how its input is encoded. With the name of a dataset the
weights become a run on that data as it is here: the caller vouches that the weights belong to it, and the run's notes
say so. Without one they become a checkpoint of the network only, for use in Python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from torch import nn

from bntt.io.checkpoint import CheckpointError, write_checkpoint
from bntt.io.files import digest, write_whole
from bntt.io.pickled import read_pickled
from bntt.models import MODELS
from bntt.nn import SpikingNetwork
from bntt.runs.directory import new_run_directory
from bntt.runs.environment import write_environment
from bntt.runs.identity import rules_facts
from bntt.runs.parts import parts_facts
from bntt.runs.recipe.build import RecipeData, build_data, build_model, builder_options, with_absolute_paths
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


def import_network(
    file: Path,
    name: str,
    root: Path,
    *,
    model: str,
    layout: str = "",
    data: str = "",
    overrides: Sequence[str] = (),
    pixels: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> tuple[Path, Recipe, Foreign]:
    """Import a ``torch.save`` file as a run on ``data``, or without data as a checkpoint; return its path and recipe.

    ``pixels`` are their mean and deviation; empty, they are the released code's if the names are, else the training
    part's.
    """
    if layout and layout not in LAYOUTS:
        raise RecipeError(f"--layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    state = read_pickled(file)
    try:
        foreign = read_foreign(state, layout)
        recipe = _recipe_of(file, foreign, model, data, overrides)
        if data:
            samples = _with_pixels(build_data(recipe), foreign, *pixels)
            whole: nn.Module = (classifier := build_model(recipe, samples))
            network = classifier.network
        else:
            wrong = [f"-s {override}" for override in overrides if not override.startswith("network.")]
            if wrong := ["--mean and --std"] if any(pixels) else wrong:
                raise RecipeError(f"{wrong[0]}: without data only the network is made: name the data too (--data)")
            whole = network = _network_of(recipe, foreign)
        network.load_state_dict(as_ours(foreign, network))
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from None
    tensors = {f"model.{key}": value for key, value in whole.state_dict().items()}
    if not data:
        path = root / f"{name}.safetensors"
        if path.exists():
            raise RecipeError(f"{path} already exists: choose another --name")
        path.parent.mkdir(parents=True, exist_ok=True)
        facts: dict[str, Any] = {
            "network": values_of(recipe.network),
            "imported": values_of(recipe.imported),
            "data": UNKNOWN_DATA,
        }
        write_checkpoint(path, tensors, facts)
        return path, recipe, foreign
    run, written = new_run_directory(name, root), dump_recipe(recipe)
    facts = {"epoch": 0, "validation_accuracy": None, "averaged": False, "recipe": written, **rules_facts(recipe)}
    write_environment(run.path, 0, {"device": "cpu", **rules_facts(recipe), **parts_facts(recipe), **samples.facts()})
    write_checkpoint(run.best, tensors, facts)
    write_whole(run.recipe, written.encode())  # last: a directory without it is not a run
    return run.path, recipe, foreign


def _recipe_of(file: Path, foreign: Foreign, model: str, data: str, overrides: Sequence[str]) -> Recipe:
    """Build the recipe; what neither file nor caller says is the default of the network's builder."""
    leak = foreign.leak
    said = {"leak": "" if leak is None else ", and the leak", "unsaid": ", the leak" if leak is None else ""}
    if model in MODELS and leak is None:
        leak = signature(MODELS[model]).parameters["leak"].default
    values: dict[str, Any] = {
        "notes": NOTES.format(file=file.name, layout=foreign.layout, **said),
        "data": {"name": data or "synthetic"},
        "network": {
            "name": model,
            "num_steps": foreign.num_steps,
            **({} if leak is None else {"leak": leak}),
            "norm": "bntt",
            "norm_eps": LAYOUTS[foreign.layout],
        },
        "imported": {"file": file.name, "sha256": digest(file), "layout": foreign.layout},
        "train": {"epochs": 0, "batch_size": 100},
    }
    return with_absolute_paths(parse_recipe(values, overrides))


def _network_of(recipe: Recipe, foreign: Foreign) -> SpikingNetwork:
    weights = list(foreign.synapses.values())
    sizes = {"in_features": weights[0].shape[-1]} if weights[0].ndim == 2 else {"in_channels": weights[0].shape[1]}
    try:
        return MODELS[recipe.network.name](**builder_options(recipe), **sizes, num_classes=len(weights[-1]))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"network: {error}") from None


def _with_pixels(data: RecipeData, foreign: Foreign, mean: Sequence[float], std: Sequence[float]) -> RecipeData:
    """Return the data with the mean and deviation that the network was trained with, as far as known."""
    channels = len(data.mean)
    released = foreign.layout == "released" and channels == len(MEAN)
    mean = list(mean or (MEAN if released else data.mean))
    std = list(std or (STD if released else data.std))
    usable = all(map(math.isfinite, (*mean, *std))) and all(value > 0 for value in std)
    if len(mean) != channels or len(std) != channels or not usable:
        raise RecipeError(
            f"--mean and --std: {channels} numbers each for {data.label}, all finite, deviations above 0, got {mean} "
            f"and {std}"
        )
    return replace(data, mean=mean, std=std)

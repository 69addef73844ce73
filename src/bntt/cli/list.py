"""``bntt list`` and ``bntt show``: the available names, and a recipe as it would run."""

from __future__ import annotations

from typing import Literal

import tyro

from bntt.cli.train import Overrides


def list_names(
    what: tyro.conf.Positional[
        Literal["recipes", "studies", "models", "pretrained", "datasets", "norms", "neurons", "encoders", "backends"]
    ],
) -> None:
    """Name the recipes, studies, models, trained networks, datasets, norms, neurons, encoders or backends, one a line.

    Example: bntt list recipes

    Args:
        what: which names.
    """
    from bntt.cli import console

    if what == "backends":
        from bntt.engine.kernels import backends
        from bntt.nn.fusion.coverage import fused_norms, fused_parts

        for backend in backends():
            console.line(f"{backend.name:10} {'' if backend.available else 'not available: '}{backend.detail}")
        for part, where in (fused_norms() | fused_parts()).items():
            console.line(f"  {part:17} {where}")
        return
    from bntt.data.catalog import ways_to_get
    from bntt.data.registry import DATASETS
    from bntt.models import MODELS, PRETRAINED
    from bntt.nn import ENCODERS, NEURONS, NORMS
    from bntt.runs.recipe import recipe_names
    from bntt.studies.study_file import load_study, study_names

    if what == "studies":
        for name in study_names():
            console.line(f"{name:22} {load_study(name).title}")
        return
    if what == "datasets":
        for name, dataset in sorted(DATASETS.items()):
            console.line(f"{name:24} {dataset}; {next(iter(ways_to_get(name)), 'built in')}")
        return
    names = {
        "recipes": recipe_names(),
        "models": MODELS,
        "pretrained": PRETRAINED,
        "norms": NORMS,
        "neurons": NEURONS,
        "encoders": ENCODERS,
    }
    for name in names[what]:
        console.line(name)


def show(
    recipe: tyro.conf.Positional[str] = "",
    key: tyro.conf.Positional[str] = "",
    overrides: Overrides = (),
    keys: bool = False,
) -> None:
    """Print a recipe as TOML with every default and what each key means, after checking it; or one key of it.

    Example: bntt show cifar10 -s network.num_steps=10

    Args:
        recipe: a name from `bntt list recipes`, or a TOML file.
        key: one key, such as train.lr_drops: its value, range and meaning.
        overrides: a value to change, repeatable.
        keys: list every key that a recipe may have, with default, range and meaning.
    """
    from bntt.cli import console
    from bntt.runs.recipe.file import RecipeError, explained_key, explained_recipe, load_recipe

    if keys == bool(recipe):
        raise RecipeError("bntt show takes a recipe, or --keys alone")
    if keys:
        console.line(explained_key())
    else:
        found = load_recipe(recipe, overrides)
        console.line(explained_key(key, found) if key else explained_recipe(found))

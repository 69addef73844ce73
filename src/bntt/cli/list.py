"""``bntt list`` and ``bntt show``: the available names, and a recipe as it would run."""

from __future__ import annotations

from typing import Annotated, Literal

import tyro

from bntt.cli.train import Overrides


def list_names(
    what: tyro.conf.Positional[
        Literal["recipes", "studies", "models", "pretrained", "datasets", "norms", "neurons", "encoders", "backends"]
    ],
) -> None:
    """List the names of recipes, studies, models, trained networks, datasets, norms, neurons, encoders or backends.

    For trained networks, also print test accuracy (95 % interval), steps, spikes and energy per image, and file size.

    Example: bntt list recipes

    Args:
        what: which names.
    """
    from bntt.cli import console

    if what == "backends":
        from bntt.engine.kernels import backends
        from bntt.nn.fusion.fuse import fused_norms, fused_parts

        for backend in backends():
            console.line(f"{backend.name:10} {'' if backend.available else 'not available: '}{backend.detail}")
        parts = fused_norms() | fused_parts()
        for part, where in parts.items():
            console.line(f"  {part:{max(map(len, parts))}} {where}")
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
    if what == "pretrained":
        rows = [PRETRAINED_HEADS, *map(pretrained_row, PRETRAINED)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            console.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        console.line("`bntt train NAME` trains a network again, from the recipe of the same name")
        return
    if what == "datasets":
        for name, dataset in sorted(DATASETS.items()):
            console.line(f"{name}: {dataset}; licence: {dataset.licence}")
            console.line(f"    {next(iter(ways_to_get(name)), 'built in')}")
        return
    names = {"recipes": recipe_names(), "models": MODELS, "norms": NORMS, "neurons": NEURONS, "encoders": ENCODERS}
    for name in names[what]:
        console.line(name)


PRETRAINED_HEADS = ("name", "data", "test accuracy (95 %)", "T", "spikes", "energy", "size", "network")


def pretrained_row(name: str) -> tuple[str, ...]:
    """Format the facts about a trained network, in the columns of ``PRETRAINED_HEADS``."""
    from bntt.models import PRETRAINED, pretrained_facts

    facts = pretrained_facts(name)
    low, high = facts.test["accuracy_wilson_95"]
    return (
        name,
        facts.dataset,
        f"{facts.test['accuracy']:.1%} ({low:.1%} to {high:.1%})",
        str(facts.network["num_steps"]),
        f"{facts.test['spikes_per_image']:,.0f}",
        f"{facts.energy_uj:.2f} µJ",
        f"{facts.stored['bytes'] / 1e6:.2f} MB",
        PRETRAINED[name],
    )


def show(
    recipe: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")] = "",
    key: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="KEY")] = "",
    overrides: Overrides = (),
    keys: bool = False,
) -> None:
    """Check a recipe and print it as TOML, with every default and the meaning of each key; or one key or table.

    Example: bntt show cifar10 -s network.num_steps=10

    Args:
        recipe: a name from `bntt list recipes`, or a TOML file.
        key: one key, such as train.lr_drops, or a table, such as train: value, range and meaning.
        overrides: a value to change, repeatable.
        keys: list every key that a recipe may have, with default, range and meaning.
    """
    from bntt.cli import console
    from bntt.runs.recipe.file import RecipeError, explained_key, explained_recipe, load_recipe

    if keys == bool(recipe):
        raise RecipeError("bntt show takes a recipe, or --keys without one")
    if keys:
        console.line(explained_key())
    else:
        found = load_recipe(recipe, overrides)
        console.line(explained_key(key, found) if key else explained_recipe(found))

"""``bntt show``: a recipe as it would run."""

from __future__ import annotations

import tyro

from bntt.cli.train import Overrides


def show(
    recipe: tyro.conf.Positional[str],
    overrides: Overrides = (),
) -> None:
    """Print a recipe as TOML with every default written out, after checking it.

    Example: bntt show cifar10 -s network.num_steps=10

    Args:
        recipe: a name from `bntt list recipes`, or a TOML file.
        overrides: a value to change, repeatable.
    """
    from bntt.cli import console
    from bntt.runs.recipe.file import dump_recipe, load_recipe

    console.line(dump_recipe(load_recipe(recipe, overrides)).rstrip())

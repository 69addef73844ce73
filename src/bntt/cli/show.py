"""``bntt show``: a recipe as it would run, and what its keys mean."""

from __future__ import annotations

import tyro

from bntt.cli.train import Overrides


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

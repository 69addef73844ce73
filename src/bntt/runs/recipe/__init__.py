"""Recipes, one file each: schema, reading and writing, and building data and a network from one."""

from bntt.io.files import names_in


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return names_in("runs/recipes")

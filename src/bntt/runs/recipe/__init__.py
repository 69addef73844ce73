"""Recipes, a file each: schema, reading and writing, and from one to data and a network."""

from bntt.io.toml_file import names_in


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return names_in("runs/recipes")

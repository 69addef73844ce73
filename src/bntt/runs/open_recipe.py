"""Recipes for measurements that train, opened for use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bntt.analysis.measurement import Facts
from bntt.runs.recipe.build import facts_of, require_device, with_absolute_paths
from bntt.runs.recipe.file import Recipe, load_recipe


@dataclass(frozen=True)
class OpenedRecipe:
    """A recipe, and the folder of its results."""

    recipe: Recipe
    path: Path
    """The folder of the results."""
    device: str = "cpu"

    @property
    def facts(self) -> Facts:
        """Facts about the recipe that need no training."""
        return facts_of(self.recipe)


def open_recipe(name: str, overrides: Sequence[str] = (), *, folder: Path, device: str = "cpu") -> OpenedRecipe:
    """Open a recipe by name or file."""
    require_device(device)
    return OpenedRecipe(with_absolute_paths(load_recipe(name, overrides)), folder, device)

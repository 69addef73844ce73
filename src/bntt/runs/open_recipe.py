"""A recipe that a measurement trains by itself, ready to be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bntt.analysis.measurement import Facts
from bntt.runs.recipe.build import facts_of, require_device, with_whole_root
from bntt.runs.recipe.file import Recipe, load_recipe


@dataclass(frozen=True)
class OpenedRecipe:
    """A recipe, and where what comes of it is kept."""

    recipe: Recipe
    path: Path
    """The folder of the results."""
    device: str = "cpu"

    @property
    def facts(self) -> Facts:
        """What is known of it without any training."""
        return facts_of(self.recipe)


def open_recipe(name: str, overrides: Sequence[str] = (), *, folder: Path, device: str = "cpu") -> OpenedRecipe:
    """Open a recipe by its name, or its file.

    Args:
        overrides: values to put over the recipe's, each ``table.key=value``.

    Raises:
        RecipeError: if there is none, or it cannot be used.
        DeviceError: if the device is not here.

    >>> open_recipe("demo", ["network.num_steps=2"], folder=Path("stability")).facts.num_steps
    2
    """
    require_device(device)
    return OpenedRecipe(with_whole_root(load_recipe(name, overrides)), folder, device)

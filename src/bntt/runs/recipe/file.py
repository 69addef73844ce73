"""Recipes as they are read and written: TOML in and out, and errors in a recipe's own words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from bntt.io.toml_file import TomlError, names_in, read_named, tables_of, unknown_key
from bntt.runs.recipe.schema import Recipe as Recipe
from bntt.runs.recipe.schema import RecipeError as RecipeError
from bntt.runs.recipe.schema_data import Part

LARGEST = 1 << 20
"""Bytes of a recipe file."""


def load_recipe(source: str | Path, overrides: Sequence[str] = (), *, same_data: bool = False) -> Recipe:
    """A recipe by the name of one that comes with the package, or by the path of a TOML file.

    Args:
        overrides: ``table.key=value`` each, put over what the file says before it is validated.
        same_data: whether another ``data.root`` is another place of the same data, whose label then stays.

    Raises:
        RecipeError: on an unknown name, bad TOML, an unknown key (with the nearest known one) or a bad value.

    >>> load_recipe("demo", ["network.width=0.25"]).network.width
    0.25
    """
    try:
        values = read_named(source, "runs/recipes", "recipe", LARGEST)
    except TomlError as error:
        raise RecipeError(str(error)) from None
    named = {override.partition("=")[0].strip() for override in overrides}
    if named & ({"data.name"} if same_data else {"data.name", "data.root"}) and isinstance(values.get("data"), dict):
        values["data"].pop("label", None)  # the file's label is of the file's data
    return parse_recipe(values, overrides)


def parse_recipe(values: dict[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """Validate a recipe given as nested dictionaries, which overrides are put into.

    Raises:
        RecipeError: naming the first key that is wrong.
    """
    for override in overrides:
        _apply(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        unknown_first = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        raise RecipeError(_explain(unknown_first[0])) from None


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return names_in("runs/recipes")


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML with every default written out."""
    return tomli_w.dumps(recipe.model_dump())


def _apply(values: dict[str, Any], override: str) -> None:
    """Set ``table.key=value``; the value is TOML, or text where it is not."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"-s {override}: expected key=value, such as train.epochs=3")
    try:
        value = tables_of(f"value = {text}")["value"]
    except ValueError:
        value = text
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"-s {override}: {table} is a value, not a table")
    values[last] = value


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if not where and error["type"] == "value_error":  # of keys that do not fit together, which it names
        return str(error["msg"]).removeprefix("Value error, ")
    if error["type"] != "extra_forbidden":
        said = TYPES_TOLD.get(error["type"], error["msg"]).removeprefix("Value error, ")
        return f"{where}: {said}" + ("" if error["type"] == "missing" else f", got {error['input']!r}")
    return f"{where}: {unknown_key(str(error['loc'][-1]), fields_at(Recipe, error['loc'][:-1]))}"


TYPES_TOLD = {
    "model_type": "must be a table of keys and values",
    "bool_type": "must be true or false",
    "string_type": "must be text, in quotation marks",
    "list_type": "must be a list, in brackets",
}
"""What pydantic says in Python's words, in those of a recipe."""


def fields_at(kind: type[Part], location: tuple[str | int, ...]) -> list[str]:
    """The keys of the part that a location leads to, through parts that are fields of parts."""
    part: Any = kind
    for name in location:
        part = part.model_fields[str(name)].annotation
    return list(part.model_fields)

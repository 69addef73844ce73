"""Recipes as TOML, in and out, and errors of a file in its own terms."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w

from bntt.io.files import TomlError, read_named, tables_of, unknown_key
from bntt.registry import Option, OptionError, options_of
from bntt.runs.recipe.schema import Recipe as Recipe
from bntt.runs.recipe.schema import RecipeError as RecipeError
from bntt.runs.recipe.schema import Table

LARGEST = 1 << 20
"""Maximum size of a recipe file in bytes."""
PART_KEYS = {
    *("data.name", "data.augment", "encoder.name", "network.name", "network.norm"),
    *("network.neuron", "network.surrogate", "network.reset", "network.fire"),
}
"""Keys whose value can name a user-defined part, see :mod:`bntt.register`."""
BEFORE = {"compute": {"input_grad": "direct", "rectifiers": "plain"}}
"""Values of keys that a run's recipe lacks, of what was computed before the key existed; no default of today."""


def load_recipe(source: str | Path, overrides: Sequence[str] = (), *, stored: bool = False) -> Recipe:
    """Load a recipe by the name of a bundled one, or by the path of a TOML file."""
    try:
        values = read_named(source, "runs/recipes", "recipe", LARGEST)
    except TomlError as error:
        raise RecipeError(str(error)) from None
    named = {key_in(override) for override in overrides}
    if named & ({"data.name"} if stored else {"data.name", "data.root"}) and isinstance(values.get("data"), dict):
        values["data"].pop("label", None)  # the file's label and notes describe the file's data
        values["notes"] = f"The recipe {source} on other data."
    return parse_recipe(values, overrides, stored=stored)


def parse_recipe(values: dict[str, Any], overrides: Sequence[str] = (), *, stored: bool = False) -> Recipe:
    """Validate a recipe given as nested dictionaries, after applying overrides."""
    for name, table in BEFORE.items() if stored else ():
        values[name] = table | found if isinstance(found := values.get(name, {}), dict) else found
    train, decays = values.get("train"), {"train.weight_decay", "train.gamma_decay"}
    alike = isinstance(train, dict) and train.get("gamma_decay", "") == train.get("weight_decay")
    if alike and decays & {key_in(override) for override in overrides} == {"train.weight_decay"}:
        del values["train"]["gamma_decay"]  # a run wrote it, derived from weight_decay: derive it again
    for override in overrides:
        _apply(values, override)
    recipe: Recipe = _table(Recipe, values, "")
    return recipe


def _table(kind: type, values: Any, where: str) -> Any:
    """Make a table of its values; an error names the key, what was expected, what came, and what the key is for."""
    if not isinstance(values, dict):
        raise RecipeError(f"{where.rstrip('.')}: must be a table of keys and values, got {values!r}")
    options = options_of(kind)
    if unknown := next((key for key in values if key not in options), None):
        raise RecipeError(f"{where}{unknown}: {unknown_key(unknown, list(options))}")
    for name, option in options.items():
        if option.default is dataclasses.MISSING and name not in values:
            raise RecipeError(f"{where}{name}: is missing")
    inner = [name for name in values if _is_table(options[name])]
    tables = {name: _table(options[name].hint, values[name], f"{where}{name}.") for name in inner}
    try:
        return kind(**{name: options[name].check(value) for name, value in (values | tables).items()})
    except OptionError as error:
        key, value = where + error.name, values.get(error.name)
        unnamed = key in PART_KEYS and isinstance(value, str | list) and "did you mean" not in error.problem
        own = " A part of your own needs bntt --with FILE before the command." if unnamed else ""
        raise RecipeError(f"{key}: {error.problem}. {options[error.name].sentence}{own}") from None


def _is_table(option: Option) -> bool:
    return isinstance(option.hint, type) and issubclass(option.hint, Table)


def dump_recipe(recipe: Recipe) -> str:
    """Format the recipe as TOML with every default written out."""
    return tomli_w.dumps(values_of(recipe))


def values_of(table: Any, *, changed_only: bool = False) -> dict[str, Any]:
    """Return a table's values, nested tables included, as TOML and JSON represent them."""
    kind: type = type(table)
    options = options_of(kind)
    required = {name: getattr(table, name) for name, one in options.items() if one.default is dataclasses.MISSING}
    usual = {name: one.default for name, one in options.items()}
    if changed_only and not isinstance(table, Recipe):  # an omitted option may default to another one
        usual |= vars(kind(**required))
    found: dict[str, Any] = {}
    for name in options:
        value = getattr(table, name)
        if not changed_only or name in required or value != usual[name]:
            found[name] = (
                values_of(value, changed_only=changed_only)
                if isinstance(value, Table)
                else options[name].written(value)
            )
    return found


@cache
def keys_of(kind: type = Recipe, table: str = "") -> dict[str, Option]:
    """Return every key of a recipe, ``table.key``, and its option."""
    found: dict[str, Option] = {}
    for name, option in options_of(kind).items():
        found |= keys_of(option.hint, f"{table}{name}.") if _is_table(option) else {table + name: option}
    return found


def explained_recipe(recipe: Recipe) -> str:
    """Format the recipe as TOML with every key's meaning above it, as a comment."""
    known, table, lines = keys_of(), "", list[str]()
    for line in dump_recipe(recipe).splitlines():
        if header := re.fullmatch(r"\[(.+)\]", line):
            table = f"{header[1]}."
        elif key := re.match(r"(\w+) =", line):
            lines.append(f"# {_meaning(known[table + key[1]])}")
        lines.append(line)
    return "\n".join(lines)


def explained_key(key: str = "", recipe: Recipe | None = None) -> str:
    """Describe one key, the keys of a table, or all: value in a recipe or default, range, unit and meaning."""
    known = keys_of()
    asked = [name for name in known if not key or f"{name}.".startswith(f"{key}.")]
    if not asked:
        raise RecipeError(f"{key}: {unknown_key(key, list(known))}")
    shown = []
    for name in asked:
        value: Any = recipe
        for part in name.split(".") if recipe else ():
            value = getattr(value, part)
        value = known[name].written(known[name].default if recipe is None else value)
        said = "may be left out" if value is None else "must be given"
        said = said if value in (None, dataclasses.MISSING) else f"= {json.dumps(value)}"
        shown.append(f"{name} {said}\n    {_meaning(known[name])}")
    return "\n".join(shown)


def _meaning(option: Option) -> str:
    return f"{option.accepted()}. {option.sentence}"


def key_in(override: str) -> str:
    """Return the key that an override ``key=value`` sets."""
    return override.partition("=")[0].strip()


def _apply(values: dict[str, Any], override: str) -> None:
    """Set ``table.key=value``; the value is parsed as TOML, else taken as text."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"-s {override}: expected key=value, such as train.epochs=3")
    try:
        value = tables_of(f"value = {text}")["value"]
    except ValueError:
        if text.strip()[:1] == "[":
            raise RecipeError(f"-s {override}: quote texts in a list, and quote the list for the shell") from None
        value = text
    option = keys_of().get(key.strip())
    if option and not option.accepts(value) and option.accepts(text):
        value = text  # a text that looks like a number or a date
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"-s {override}: {table} is a value, not a table")
    if isinstance(value, dict) and isinstance(values.get(last), dict):
        raise RecipeError(f"-s {override}: replaces a whole table: set its keys one by one, -s {key.strip()}.KEY=VALUE")
    values[last] = value


def unknown_name(name: str, known: Sequence[str]) -> str:
    """Return the message for an unknown name."""
    return f"unknown name {name!r}; " + unknown_key(name, known).removeprefix("unknown key; ").replace("keys", "names")

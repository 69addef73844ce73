"""Recipes as TOML, in and out, and errors of a file in its own terms."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

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
        own = " A part of your own needs bntt --with FILE before the verb." if unnamed else ""
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
            found[name] = values_of(value, changed_only=changed_only) if isinstance(value, Table) else _plain(value)
    return found


@cache
def keys_of(kind: type = Recipe, table: str = "") -> dict[str, Option]:
    """Return every key of a recipe, ``table.key``, and its option."""
    found: dict[str, Option] = {}
    for name, option in options_of(kind).items():
        found |= keys_of(option.hint, f"{table}{name}.") if _is_table(option) else {table + name: option}
    return found


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


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
        value = known[name].default if recipe is None else value
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
            quoted = ", ".join(f'"{word}"' for word in re.findall(r"""[^][,\s'"]+""", text))
            raise RecipeError(
                f"-s {override}: quote texts in a list, and quote the list for the shell: "
                f"-s {shlex.quote(f'{key}=[{quoted}]')}"
            ) from None
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


class TomlTable(BaseModel):
    """A table of a file: frozen, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


P = TypeVar("P", bound=TomlTable)
IN_TOML = {
    "model_type": "must be a table of keys and values",
    "dict_type": "must be a table of keys and values",
    "bool_type": "must be true or false",
    "string_type": "must be text, in quotation marks",
    "list_type": "must be a list, in brackets",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "missing": "is missing",
}
"""Pydantic's messages, reworded in the file's terms."""


def validate_table(kind: type[P], values: Any, where: str) -> P:
    """Validate values as a part of this kind."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        unknown_first = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        raise RecipeError(_explain_part(unknown_first[0], kind, where)) from None


def validate_by_kind(kinds: Mapping[str, type[P]], key: str, values: Any, where: str) -> P:
    """Validate values as the kind of part, of a closed dictionary, that one of their keys names."""
    if not isinstance(values, dict):
        raise RecipeError(f"{where}: must be a table of keys and values, got {values!r}")
    if key not in values:
        raise RecipeError(f"{where}.{key}: is missing; one of {', '.join(kinds)}")
    name = values[key]
    if not isinstance(name, str) or name not in kinds:
        raise RecipeError(f"{where}.{key}: {unknown_name(str(name), list(kinds))}")
    return validate_table(kinds[name], values, where)


def unknown_name(name: str, known: Sequence[str]) -> str:
    """Return the message for an unknown name."""
    return f"unknown name {name!r}; " + unknown_key(name, known).removeprefix("unknown key; ").replace("keys", "names")


def _explain_part(error: Any, kind: type[TomlTable], where: str) -> str:
    path = [str(part) for part in error["loc"] if part not in kind.model_fields or error["loc"][0] == part]
    place = ".".join(filter(None, [where, *path]))
    if error["type"] == "extra_forbidden":
        return f"{place}: {unknown_key(path[-1], _fields_at(kind, error['loc'][:-1]))}"
    said = IN_TOML.get(error["type"], error["msg"]).removeprefix("Value error, ")
    return f"{place}: {said}" + ("" if error["type"] == "missing" or not path else f", got {error['input']!r}")


def _fields_at(kind: type[TomlTable], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys of the part at a location, through nested parts."""
    part: Any = kind
    for name in location:
        part = part.model_fields[str(name)].annotation
    return list(part.model_fields)

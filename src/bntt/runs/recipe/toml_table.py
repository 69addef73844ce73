"""Tables of a TOML file as parts of a schema, and error messages in the file's own terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bntt.io.toml_file import unknown_key
from bntt.runs.recipe.schema import RecipeError


class TomlTable(BaseModel):
    """A table of a file: frozen, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


P = TypeVar("P", bound=TomlTable)
IN_TOML = {
    "model_type": "must be a table of keys and values",
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
        raise RecipeError(_explain(unknown_first[0], kind, where)) from None


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


def _explain(error: Any, kind: type[TomlTable], where: str) -> str:
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

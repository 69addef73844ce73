"""TOML files that come with the package, by name, and those of the user, by path: recipes, studies, tables of costs."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from bntt.io.errors import refusing
from bntt.io.files import read_file

DEEPEST = 20
"""Limit of nested tables: far more than any file here has."""


class TomlError(ValueError):
    """A TOML file that is missing or cannot be read; the message names it and says what is wrong."""


def names_in(folder: str) -> list[str]:
    """List the names of the TOML files in a folder of the package."""
    entries = files("bntt").joinpath(folder).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def read_named(source: str | Path, folder: str, what: str, largest: int) -> dict[str, Any]:
    """Read the tables of a TOML file, by the name of one that comes with the package or by path."""
    known = names_in(folder)
    if str(source) in known:
        text = files("bntt").joinpath(f"{folder}/{source}.toml").read_text(encoding="utf-8")
    else:
        path = Path(source)
        if not path.is_file():  # also what a FIFO or a device is not
            inside = path / f"{what}.toml"  # a run's directory in place of its recipe
            near = [str(inside)] if inside.is_file() else difflib.get_close_matches(str(path), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TomlError(f"no {what} {str(path)!r}: {hint}give a file, or one of {', '.join(known)}")
        with refusing(f"{path} is not UTF-8 text", UnicodeDecodeError, error=TomlError):
            text = read_file(path, largest, TomlError).decode("utf-8-sig")  # some editors begin UTF-8 with a mark
    with refusing(f"{source} is not TOML", ValueError, error=TomlError):
        return tables_of(text)


def tables_of(text: str) -> dict[str, Any]:
    """Parse a TOML text whose tables are nested at most ``DEEPEST`` deep.

    >>> tables_of("a.b = 1"), tables_of("a = 1")
    ({'a': {'b': 1}}, {'a': 1})
    """
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"tables or lists nested deeper than {DEEPEST}") from None
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        inner = [part for whole in level for part in (whole.values() if isinstance(whole, dict) else whole)]
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return values
    raise ValueError(f"tables or lists nested deeper than {DEEPEST}")


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Say that there is no such key, and name the nearest one or all."""
    near = difflib.get_close_matches(key, known, n=1)
    return "unknown key; " + (f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}")

"""Keys of recipes, from the schema that ``bntt show`` prints: each is an object of the site, with a link of its own."""

from __future__ import annotations

import dataclasses
import json
import re

from bntt.runs.recipe.file import keys_of


def keys(lines: list[str]) -> str:
    """Expand a block of tables (``train``; ``.`` are the keys outside of tables): every key of each, in its order.

    Raises:
        ValueError: if there is no such table.
    """
    made = ["```{eval-rst}"]
    for table in filter(None, map(str.strip, lines)):
        found = [name for name in keys_of() if (name.rpartition(".")[0] or ".") == table]
        if not found:
            raise ValueError(f"{table}: no table of a recipe")
        made += [_described(name) for name in found]
    return "\n".join([*made, "```"])


def _described(name: str) -> str:
    """A key: its sentence, what it accepts, and its default."""
    option = keys_of()[name]
    value = option.written(option.default)
    if value is dataclasses.MISSING:
        default = "must be given"
    else:
        default = "may be left out" if value is None else f"default ``{json.dumps(value)}``"
    return f".. key:: {name}\n\n   {in_rst(option.sentence)}\n\n   {in_rst(option.accepted())}; {default}.\n"


def in_rst(text: str) -> str:
    """A sentence of the library, whose code is between single backticks, as reStructuredText."""
    parts = text.split("`")
    return "".join(f"``{one}``" if at % 2 else re.sub(r"([*|_\\])", r"\\\1", one) for at, one in enumerate(parts))

"""Blocks that are made while a page is read: names of the API, keys of recipes, commands, files and exit codes."""

from __future__ import annotations

import re
from collections.abc import Callable

from sphinx.application import Sphinx

from . import api, commands, recipes

BLOCKS: dict[str, Callable[[list[str]], str]] = {
    "names": api.names,
    "code": api.code,
    "keys": recipes.keys,
    "commands": commands.commands,
    "codes": commands.codes,
    "files": commands.files,
    "fields": commands.fields,
}
"""By what a page writes, ```` ```{names} ````: what its lines become."""
BLOCK = re.compile(r"^```\{(" + "|".join(BLOCKS) + r")\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TERM = re.compile(r"^([^\n:#`]+)\n: (.+\n(?:  .+\n)*)", re.MULTILINE)


def expanded(text: str) -> str:
    """A page with its blocks made."""
    return BLOCK.sub(lambda match: BLOCKS[match[1]](match[2].splitlines()), text)


def on_source(app: Sphinx, page: str, source: list[str]) -> None:
    """Make the blocks of a page; terms of the glossary go into the index, which the search asks first."""
    source[0] = expanded(source[0])
    if page == "reference/glossary":
        source[0] = TERM.sub(_term, source[0])


def _term(match: re.Match[str]) -> str:
    """Make a term of one word, and its other names, an entry of the index; what has more words has pages of its own."""
    if " " in match[1].replace(", ", ","):
        return match[0]
    return "\n".join(["```{glossary}", *match[1].split(", "), f"  {match[2]}```\n"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Add it to a site."""
    app.add_object_type("key", "key", "%s (recipe key)", objname="recipe key")
    app.connect("source-read", on_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

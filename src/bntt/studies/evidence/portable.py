"""Files of a run without the paths of the machine that made it: only the last name of an absolute path is kept."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w

from bntt.io.files import last_name, parse_json

ALONE = re.compile(
    r"(-{0,2}\w[\w.-]*=)?"  # a name that is given a path
    r"((?:file://[^/\n]*)?/(?:[^\s/]+/?|[^\n/]*/[^\n]*)|[A-Za-z]:\\[^\n]*|[A-Za-z]:/(?:[^\s/]+/?|[^\n/]+/[^\n]*)|\\\\\w[^\n]*)"
)
"""A text that is wholly an absolute path, of any system, or gives one to a name: ``images=/my data/cifar``."""
WITHIN = re.compile(
    r"""(?<=")(?:(?:file://[^/"]*)?/|[A-Za-z]:\\{1,2}|[A-Za-z]:/|\\{2,4}\w)[^"]+(?=")"""  # in quotation marks
    r"""|(?<!\w)file:/[^\s"',;]+"""
    r"""|(?:(?<![\w.:/\\~-])|(?<=(?<![\w-])-[IL]))(?:/[^\s"',;=/]+){2,}/?"""  # of two names or more, also behind -I
    r"""|(?<![\w.:/\\~-])[A-Za-z]:[\\/][^\s"',;=]*[\\/][^\s"',;=]+"""
    r"""|(?<![\w.:/\\~-])[A-Za-z]:\\[^\s"',;=]+"""
    r"""|(?<![\w.:/\\~-])\\\\\w[^\s"',;=]*"""
)
"""Absolute paths in the middle of a text, such as an argument of a command."""


def portable(name: str, content: bytes) -> bytes:
    """Replace every absolute path in a run's file by ``.../NAME``."""
    try:
        text = content.decode("utf-8")
        if name.endswith(".toml"):
            found = tomllib.loads(text)
            kept = without_places(found)
            return content if kept == found else tomli_w.dumps(kept).encode()
        if name.endswith(".jsonl"):
            return b"".join(_line(line) for line in content.splitlines(keepends=True))
        found = parse_json(text)
        kept = without_places(found)
        return content if kept == found else (json.dumps(kept, indent=1) + "\n").encode()
    except ValueError:  # no text, TOML or JSON: nothing of it is read as a number, and whoever reads it says so
        return WITHIN.sub(_named, content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def without_places(values: Any) -> Any:
    """Return values with ``.../NAME`` for every absolute path in their texts."""
    if isinstance(values, Mapping):
        return {without_places(key): without_places(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [without_places(value) for value in values]
    if not isinstance(values, str):
        return values
    alone = ALONE.fullmatch(values)
    text = f"{alone[1] or ''}{_name(alone[2])}" if alone else WITHIN.sub(_named, values)
    for place in _own_places() if "/" in text or "\\" in text else ():
        text = re.sub(rf"{re.escape(place)}(?![\w.-])", "...", text)
    return text


@cache
def _own_places() -> list[str]:
    """List the working folder and the user's home, of which nothing is kept, wherever they occur."""
    found: list[Path] = []
    for place in (Path.cwd, Path.home):
        with suppress(OSError, RuntimeError):
            found.append(place())
    return [str(one) for one in found if len(one.parts) > 1]


def _line(line: bytes) -> bytes:
    found = parse_json(line)
    kept = without_places(found)
    return line if kept == found else json.dumps(kept).encode() + b"\n"


def _named(found: re.Match[str]) -> str:
    return _name(found.group())


def _name(path: str) -> str:
    """Return the last name of an absolute path behind three dots."""
    return f".../{last_name(path)}"

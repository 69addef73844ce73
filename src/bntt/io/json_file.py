"""JSON: read with its errors in one line, written whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bntt.io.whole_file import write_whole


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: if it is none; lists within lists beyond what Python follows are none either.

    >>> parse_json('{"T": 8}')
    {'T': 8}
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or tables lie too deep within one another") from None


def read_json(path: Path) -> Any:
    """The value in a JSON file of UTF-8.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not UTF-8, or no JSON.
    """
    return parse_json(path.read_text(encoding="utf-8"))


def find_object(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is none that can be read."""
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def read_object(path: Path, error: Callable[[str], Exception]) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        error: makes what is raised of a sentence that names the file and what is wrong with it.

    Raises:
        Exception: what ``error`` makes, if there is no such file or it holds no object.
    """
    try:
        values = read_json(path)
    except FileNotFoundError:
        raise error(f"{path} is missing") from None
    except (OSError, ValueError) as wrong:
        raise error(f"{path} cannot be read: {getattr(wrong, 'strerror', None) or wrong}") from None
    if not isinstance(values, dict):
        raise error(f"{path} holds no object, but a {type(values).__name__}")
    return values


def write_json(path: Path, values: Any) -> None:
    """Write a value as JSON, whole or not at all, one entry a line.

    Raises:
        OSError: if it cannot be written; what was there before is then still there.
    """
    write_whole(path, (json.dumps(values, indent=1) + "\n").encode())


def write_json_lines(path: Path, rows: list[Any]) -> None:
    """Write values one a line, whole or not at all.

    Raises:
        OSError: if it cannot be written; what was there before is then still there.
    """
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows).encode())

"""JSON: read with its errors in one line, written whole."""

from __future__ import annotations

import json
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

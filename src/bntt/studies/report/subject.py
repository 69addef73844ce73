"""A subject of the page, independent of HTML, and the one way in which its files are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import first_fault
from bntt.charts.section import Cell, Section
from bntt.io.files import parse_json
from bntt.io.toml_file import tables_of
from bntt.studies.study_record import ClaimRecord

T = TypeVar("T")
PARSERS: dict[str, Callable[[str], Any]] = {
    ".toml": tables_of,
    ".json": parse_json,
    ".jsonl": lambda text: [parse_json(line) for line in text.splitlines()],
}
OBJECT = TypeAdapter(dict[str, Any]).validate_python
LARGEST = 32 << 20
"""Largest size of a file that is read, in bytes."""
INVISIBLE = ((0, 9), (11, 13), (14, 32), (127, 160), (0x202A, 0x202F), (0x2066, 0x206A), (0xD800, 0xE000))
HIDDEN = {letter: "�" for ends in INVISIBLE for letter in range(*ends)}
"""Characters that are invisible, change the writing direction of their neighbours, or have no place in UTF-8."""


@dataclass(frozen=True)
class Subject:
    """Run, study, or measurements without a training of their own."""

    title: str
    kind: Literal["run", "study", "measurements"]
    lead: str
    """Sentence or two that describe it."""
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    compared: tuple[Cell, ...]
    """Row in the table that compares several of its kind."""
    gaps: tuple[str, ...] = ()
    claims: tuple[ClaimRecord, ...] = ()


def read(path: Path, validate: Callable[..., T]) -> T:
    """Read a JSON, JSONL or TOML file as pydantic validates it; a ValueError names the file and its first fault."""
    try:
        if not path.is_file():
            raise ValueError("missing")
        if path.stat().st_size > LARGEST:
            raise ValueError(f"larger than the {LARGEST >> 20} MiB that are read")
        values = visible(PARSERS[path.suffix](path.read_text(encoding="utf-8")))
        return validate(values)
    except ValidationError as error:
        raise ValueError(f"{path.name}: {first_fault(error)}") from None
    except (OSError, ValueError, RecursionError, ArgumentError) as error:
        raise ValueError(f"{path.name}: {getattr(error, 'strerror', None) or error}") from None


def visible(values: Any) -> Any:
    """Replace hidden characters in every text of a value."""
    if isinstance(values, str):
        return values.translate(HIDDEN)
    if isinstance(values, dict):
        return {key.translate(HIDDEN): visible(value) for key, value in values.items()}
    return [visible(value) for value in values] if isinstance(values, list) else values

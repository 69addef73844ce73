"""A long computation in cells: each is a file with all its settings, so that an interrupted one can resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from bntt.io.checkpoint import CheckpointError
from bntt.io.errors import refusing
from bntt.io.files import read_json, write_json
from bntt.io.lock import hold_run

T = TypeVar("T")


class OtherSettingsError(ValueError):
    """A cell that was computed with other settings than those asked for."""


@contextmanager
def hold_cells(folder: Path) -> Iterator[None]:
    """Create the folder of cells if it is missing, and keep every other process out while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with hold_run(folder):
        yield


def write_cell(path: Path, settings: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Save the values of a cell with the settings that they were computed with."""
    write_json(path, {"settings": settings, **values})


def read_cell(path: Path, settings: Mapping[str, Any], parse: Callable[[Any], T]) -> T | None:
    """Read a cell; None if there is none."""
    wanted = json.loads(json.dumps(settings))
    if not path.exists():
        return None
    with refusing(f"{path} is damaged", remedy="delete it, and it is computed again", error=CheckpointError):
        values = read_json(path)
        had = values.pop("settings")
        different = sorted(key for key in had | wanted if had.get(key) != wanted.get(key))
        cell = parse(values)
    if different:
        how = f"({', '.join(different)} differ): delete it, or give another folder as --out"
        raise OtherSettingsError(f"{path} was computed with other settings {how}")
    return cell

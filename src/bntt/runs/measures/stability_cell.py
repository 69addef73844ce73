"""One start of a grid of stability: what is known of it, and how it is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bntt.analysis.stability.gradients import AlongGradient
from bntt.io.checkpoint import CheckpointError
from bntt.io.json_file import read_json, write_json
from bntt.runs.recipe.file import RecipeError

TIMES_CHANCE = 2
"""A start failed whose validation accuracy is below so many times chance."""


@dataclass(frozen=True)
class Moment:
    """A start, measured between two updates on one batch that is always the same."""

    updates: int
    """Done before it."""
    gradient: dict[str, list[float]]
    """Norm of the gradient towards each layer's current, by step."""
    along: AlongGradient
    """At multiples of the learning rate."""


@dataclass(frozen=True)
class Cell:
    """One start."""

    network: str
    norm: str
    rate: float
    start: int
    updates: int
    """Made before it ended."""
    accuracy: float
    """Of validation; NaN where numbers were not finite."""
    chance: float
    """1 / classes."""
    moments: tuple[Moment, ...]
    """Those that it reached."""

    @property
    def failed(self) -> str:
        """Why it failed; "" if it did not."""
        if math.isnan(self.accuracy):
            return "not finite"
        return "near chance" if self.accuracy < TIMES_CHANCE * self.chance else ""


def as_json(cell: Cell) -> dict[str, Any]:
    """A cell as JSON has it, where what is not finite is null."""
    whole: dict[str, Any] = _finite(asdict(cell))
    return whole | {"failed": cell.failed}


def write_cell(path: Path, cell: Cell, settings: Mapping[str, Any]) -> None:
    """Keep a cell beside the settings that it was trained with.

    Raises:
        OSError: if it cannot be written.
    """
    write_json(path, {"settings": settings, **as_json(cell)})


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_cell(path: Path, settings: Mapping[str, Any]) -> Cell:
    """A cell that was kept, if it is of these settings; null is NaN.

    Raises:
        RecipeError: if it is of other settings.
        CheckpointError: if the file is damaged.
    """
    try:
        values = read_json(path)
        kept, _ = values.pop("settings"), values.pop("failed")
        moments = [Moment(one["updates"], _numbers(one["gradient"]), _along(one["along"])) for one in values["moments"]]
        cell = Cell(**(values | {"accuracy": _number(values["accuracy"]), "moments": tuple(moments)}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): delete it, and this start is trained again") from None
    if kept != json.loads(json.dumps(settings)):
        different = sorted(key for key in settings if kept.get(key) != json.loads(json.dumps(settings[key])))
        raise RecipeError(
            f"{path} is of another grid, whose {', '.join(different)} differ: give another folder as --out"
        )
    return cell


def _along(values: Mapping[str, Any]) -> AlongGradient:
    return AlongGradient(
        tuple(values["steps"]),
        _number(values["start"]),
        _number(values["norm"]),
        tuple(map(_number, values["loss"])),
        tuple(map(_number, values["change"])),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _numbers(rows: Mapping[str, Sequence[float | None]]) -> dict[str, list[float]]:
    return {name: list(map(_number, row)) for name, row in rows.items()}

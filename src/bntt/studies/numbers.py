"""What pictures of a study are drawn from: of each run the numbers of its starts, under the run's label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from bntt.studies.pictures import FigurePart
from bntt.studies.study_result import StudyResult

Starts = Sequence[Mapping[str, Any]]


def measured_runs(result: StudyResult, part: FigurePart) -> dict[str, Starts]:
    """Of every run that a picture is of, what its measure found on each start; runs without are left out."""
    found: dict[str, Starts] = {}
    for run in result.runs:
        if part.runs and run.name not in part.runs:
            continue
        numbers = [result.found[run.name, start.seed].numbers.get(part.source) for start in run.starts]
        if there := [values for values in numbers if values is not None]:
            found[run.label] = there
    return found


def column_of(result: StudyResult, part: FigurePart, key: str) -> dict[str, dict[int, float]]:
    """Of every run that a picture is of, a column's number of each start."""
    numbers = result.numbers()
    rows = {run.label: numbers[run.name, key] for run in result.runs if not part.runs or run.name in part.runs}
    return {label: row for label, row in rows.items() if row}


def mean_rows(rows: Sequence[Sequence[float | None]]) -> list[float]:
    """Place by place over starts; NaN where one has none. The shortest decides the length.

    >>> mean_rows([[1.0, 2.0], [3.0, 4.0, 5.0]])
    [2.0, 3.0]
    """
    return [
        float("nan") if any(value is None for value in place) else mean(value for value in place if value is not None)
        for place in zip(*rows, strict=False)
    ]


def layers_of(starts: Starts, key: str) -> dict[str, list[float]]:
    """Of `bntt activity`, something of every layer over time, mean over starts; layers without it are left out."""
    rows: dict[str, list[list[float | None]]] = {}
    for values in starts:
        mine: dict[str, list[float | None]] = {}
        for row in values["steps"]:
            mine.setdefault(row["layer"], []).append(row[key])
        for layer, line in mine.items():
            rows.setdefault(layer, []).append(line)
    means = {layer: mean_rows(lines) for layer, lines in rows.items()}
    return {layer: line for layer, line in means.items() if any(value == value for value in line)}

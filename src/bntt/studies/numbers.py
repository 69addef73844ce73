"""Inputs of a study's pictures: the numbers of every run's starts, under the run's label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from bntt.charts.axes import finite
from bntt.charts.records import Line, Number
from bntt.runs.recipe.build import facts_of
from bntt.studies.start_plan import Start
from bntt.studies.study_result import StudyResult
from bntt.studies.study_schema import FigureSpec

Starts = Sequence[Mapping[str, Any]]


class Style(NamedTuple):
    """Look of a run in every chart of its study."""

    colour: str
    dashed: bool


def measured_runs(result: StudyResult, part: FigureSpec) -> dict[str, Starts]:
    """Collect the results of a picture's measure for each start of its runs; runs without any are left out."""
    found: dict[str, Starts] = {}
    for run in result.runs:
        if part.runs and run.name not in part.runs:
            continue
        numbers = [result.found[run.name, start.seed].numbers.get(part.source) for start in run.starts]
        if there := [values for values in numbers if values is not None]:
            found[run.label] = there
    return found


def column_of(result: StudyResult, part: FigureSpec, key: str) -> dict[str, dict[int, float]]:
    """Collect a column's number of each start, for every run in a picture."""
    numbers = result.numbers()
    rows = {run.label: numbers[run.name, key] for run in result.runs if not part.runs or run.name in part.runs}
    return {label: row for label, row in rows.items() if row}


def mean_rows(rows: Sequence[Sequence[Number]]) -> list[Number]:
    """Average element by element over starts; None where a start is not finite. The shortest sets the length."""
    places = [finite(place) for place in zip(*rows, strict=False)]
    return [mean(values) if len(values) == len(rows) else None for values in places]


def line_over_starts(name: str, x: Sequence[float], rows: Sequence[Sequence[Number]], style: Style) -> Line:
    """Draw the mean over starts, with a band from the lowest start to the highest if there are several."""
    means = mean_rows(rows)
    x = list(x)[: len(means)]
    if len(rows) < 2:
        return Line(name, x, means, style.colour, dashed=style.dashed)
    places = [finite(place) for place in zip(*rows, strict=False)]
    low, high = ([end(values, default=None) for values in places] for end in (min, max))
    return Line(name, x, means, style.colour, low, high, style.dashed)


def layers_of(starts: Starts, key: str) -> dict[str, list[Number]]:
    """Average a quantity of every layer from `bntt activity` over starts; layers without it are left out."""
    rows: dict[str, list[list[Number]]] = {}
    for values in starts:
        mine: dict[str, list[Number]] = {}
        for row in values["steps"]:
            counts = key != "gamma_magnitude" or row["gamma_driven"]
            mine.setdefault(row["layer"], []).append(row[key] if counts else None)
        for layer, line in mine.items():
            rows.setdefault(layer, []).append(line)
    means = {layer: mean_rows(lines) for layer, lines in rows.items()}
    return {layer: line for layer, line in means.items() if any(value is not None for value in line)}


def styles_of(result: StudyResult) -> dict[str, Style]:
    """Assign every run's look by label: the colour of its method; a further run of the same method is dashed."""
    styles: dict[str, Style] = {}
    for run in result.runs:
        method = _method(run.starts[0]) if run.starts else run.label
        styles[run.label] = Style(method, any(style.colour == method for style in styles.values()))
    return styles


def _method(start: Start) -> str:
    if facts_of(start.recipe).is_ann:
        return "ann"
    if start.begins_with:
        return "hybrid" if start.recipe.train.epochs else "conversion"
    return start.recipe.network.norm

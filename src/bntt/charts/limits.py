"""From where to where an axis goes, in files and on the page alike."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bntt.charts.records import Axis, Bars, Chart, Forest, Histogram, Lines, Number

LEAST = 1e-90
"""Between the ends of an axis."""
MARGIN = 0.05
"""Beyond the values, of their range."""


def finite(values: Iterable[Number]) -> list[float]:
    """The values that can be drawn."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def values_along(chart: Lines | Bars | Forest | Histogram) -> list[float]:
    """All that the axis of values has to have room for."""
    match chart:
        case Lines():
            levels = (level.value for level in chart.levels if level.at == "y")
            return finite([*(v for line in chart.lines for v in (*line.y, *line.low, *line.high)), *levels])
        case Bars():
            spread = [v for bar in chart.bars for v in (*bar.low, *bar.high, *(p for row in bar.points for p in row))]
            if chart.stacked:
                return [sum(finite(column)) for column in zip(*(bar.values for bar in chart.bars), strict=True)]
            return finite([*(v for bar in chart.bars for v in bar.values), *spread])
        case Forest():
            rows = [v for entry in chart.entries for v in (entry.value, entry.low, entry.high, *entry.points)]
            return finite([*rows, *(level.value for level in chart.levels)])
        case Histogram():
            return finite(v for counts in chart.counts.values() for v in counts)


def is_logarithmic(axis: Axis, values: Iterable[float]) -> bool:
    """Whether an axis can be logarithmic: something on it is above 0."""
    return axis.scale == "log" and any(value > 0 for value in values)


def value_limits(axis: Axis, values: Iterable[float]) -> tuple[float, float]:
    """The ends of an axis of values: with 0 in it where it is linear, a little beyond the values, and never beyond what
    is possible.

    >>> value_limits(Axis("accuracy", percent=True, low=0, high=1), [0.2, 0.99])
    (0, 1.0)
    >>> value_limits(Axis("loss"), [1.0, 2.0])
    (0.0, 2.1)
    """
    values = list(values)
    if is_logarithmic(axis, values):
        above = [value for value in values if value > 0]
        low, high = min(above) / 1.5, max(above) * 1.5
    else:
        low, high = min([0.0, *values]), max([0.0, *values])
        if high - low < LEAST:
            high = low + 1.0
        beyond = MARGIN * (high - low)
        most = 1.0 if axis.percent and high <= 1 else high + beyond
        low, high = low - (beyond if low < 0 else 0.0), min(most, high + (beyond if high > 0 else 0.0))
    return _possible(axis, low, high)


def place_limits(axis: Axis, places: Iterable[float]) -> tuple[float, float]:
    """The ends of an axis of places: the first and the last, with half a step around where it counts."""
    places = list(places) or [0.0, 1.0]
    if is_logarithmic(axis, places):
        above = [place for place in places if place > 0]
        return _possible(axis, min(above) / 1.1, max(above) * 1.1)
    low, high = min(places), max(places)
    if high - low <= max(LEAST, 1e-9 * max(abs(low), abs(high))):
        around = max(0.5, 1e-6 * abs(low))
        return low - around, high + around
    beyond = 0.5 if axis.whole else 0.02 * (high - low)
    return _possible(axis, low - beyond, high + beyond)


def _possible(axis: Axis, low: float, high: float) -> tuple[float, float]:
    low = low if axis.low is None or (low > axis.low and axis.scale == "log") else axis.low
    high = high if axis.high is None else min(high, axis.high)
    return (low, high) if high > low else (low, low + 1.0)


def places_along(chart: Chart) -> list[float]:
    """All places of lines."""
    if not isinstance(chart, Lines):
        return []
    levels = [level.value for level in chart.levels if level.at == "x"]
    return finite([x for line in chart.lines for x in line.x] + levels)

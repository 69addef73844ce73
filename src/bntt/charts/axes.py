"""What axes need room for, and where they end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bntt.charts.records import Axis, Bars, Chart, Forest, HeatMap, Histogram, Image, Lines, Number

MEASURES: dict[type, str] = {Lines: "y", Bars: "y", Forest: "x", HeatMap: "value", Histogram: "y"}
"""The axis of values of each kind of chart."""
LEAST = 1e-90
"""Smallest distance between the ends of an axis, and smallest value on a logarithmic one."""
MARGIN = 0.05
"""Margin beyond the values, as a share of their range."""


def finite(values: Iterable[Number]) -> list[float]:
    """Return the values that can be drawn."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def values_along(chart: Chart) -> list[float]:
    """Return all values that the axis of values needs room for, of this chart and of panels that share its scale."""
    values: Iterable[Number] = ()
    match chart:
        case Lines():
            levels = (level.value for level in chart.levels if level.at == "y")
            values = [*(v for line in chart.lines for v in (*line.y, *line.low, *line.high)), *levels, *chart.y.shown]
        case Bars() if chart.stacked:
            columns = zip(*(bar.values for bar in chart.bars), strict=True)
            values = [*(sum(finite(column)) for column in columns), *chart.y.shown]
        case Bars():
            spread = [v for bar in chart.bars for v in (*bar.low, *bar.high, *(p for row in bar.points for p in row))]
            values = [*(v for bar in chart.bars for v in bar.values), *spread, *chart.y.shown]
        case Forest():
            rows = [v for entry in chart.entries for v in (entry.value, entry.low, entry.high, *entry.points)]
            values = [*rows, *(level.value for level in chart.levels), *chart.x.shown]
        case HeatMap():
            values = [*(v for row in chart.values for v in row), *chart.value.shown]
        case Histogram():
            values = [*(v for counts in chart.counts.values() for v in counts), *chart.y.shown]
    return finite(values)


def places_along(chart: Lines) -> list[float]:
    """Return all places along x."""
    levels = [level.value for level in chart.levels if level.at == "x"]
    return finite([x for line in chart.lines for x in line.x] + levels)


def on_shared_scales(charts: Sequence[Chart]) -> list[Chart]:
    """Give charts of one figure that measure the same quantity a shared scale, so that they can be compared."""
    axes = [None if isinstance(chart, Image) else getattr(chart, MEASURES[type(chart)]) for chart in charts]
    shared = list[Chart]()
    for chart, axis in zip(charts, axes, strict=True):
        if axis is not None and axes.count(axis) > 1:
            values = [v for other, held in zip(charts, axes, strict=True) if held == axis for v in values_along(other)]
            shown = above_zero(values) if is_logarithmic(axis, values) else values
            whole = replace(axis, shown=(min(shown), max(shown)) if shown else ())
            chart = replace(chart, **{MEASURES[type(chart)]: whole})
        shared.append(chart)
    return shared


def above_zero(values: Iterable[float]) -> list[float]:
    """Return the values that have a place on a logarithmic axis: those above :data:`LEAST`."""
    return [value for value in values if value > LEAST]


def is_logarithmic(axis: Axis, values: Iterable[float]) -> bool:
    """Return True if an axis is to be logarithmic and can be: a value has a place on it."""
    return axis.scale == "log" and bool(above_zero(values))


def value_limits(axis: Axis, values: Iterable[float]) -> tuple[float, float]:
    """Return the ends of an axis: slightly beyond the values, within what is possible; a linear one contains 0."""
    values = list(values)
    if is_logarithmic(axis, values):
        above = above_zero(values)
        return _possible(axis, min(above) / 1.5, max(above) * 1.5)
    low, high = min([0.0, *values]), max([0.0, *values])
    if high - low < LEAST:
        high = low + 1.0
    beyond = MARGIN * (high - low)
    most = 1.0 if axis.percent and high <= 1 else high + beyond
    return _possible(axis, low - (beyond if low < 0 else 0.0), min(most, high + (beyond if high > 0 else 0.0)))


def colour_limits(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a heat map's colours: the lowest value and the highest."""
    held = (above_zero(values) if is_logarithmic(axis, values) else values) or [0.0]
    return min(held), max(held) if max(held) > min(held) else min(held) + 1


def place_limits(axis: Axis, places: Iterable[float]) -> tuple[float, float]:
    """Return the ends of an axis of places: the first and the last place with a margin, half a step if it counts."""
    places = list(places) or [0.0, 1.0]
    if is_logarithmic(axis, places):
        above = above_zero(places)
        return _possible(axis, min(above) / 1.1, max(above) * 1.1)
    low, high = min(places), max(places)
    if high - low <= max(LEAST, 1e-9 * max(abs(low), abs(high))):
        around = max(0.5, 1e-6 * abs(low))
        return low - around, high + around
    beyond = 0.5 if axis.whole else 0.04 * (high - low)
    return _possible(axis, low - beyond, high + beyond)


def _possible(axis: Axis, low: float, high: float) -> tuple[float, float]:
    low = low if axis.low is None or (low > axis.low and axis.scale == "log") else axis.low
    high = high if axis.high is None else min(high, axis.high)
    return (low, high) if high > low else (low, low + 1.0)

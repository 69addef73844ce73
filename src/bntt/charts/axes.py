"""Ranges, scales and ticks of axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

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
    """Return the ends of an axis: slightly beyond the values, never beyond what is possible; a linear one contains 0.

    >>> value_limits(Axis("accuracy", percent=True, low=0, high=1), [0.2, 0.99])
    (0, 1.0)
    >>> value_limits(Axis("loss"), [1.0, 2.0])
    (0.0, 2.1)
    """
    values = list(values)
    if is_logarithmic(axis, values):
        above = above_zero(values)
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


def places_along(chart: Chart) -> list[float]:
    """Return all places along x of a chart of lines."""
    if not isinstance(chart, Lines):
        return []
    levels = [level.value for level in chart.levels if level.at == "x"]
    return finite([x for line in chart.lines for x in line.x] + levels)


UNITS = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
"""Letters for large numbers: the threshold from which each is written, and the value it stands for."""


@dataclass(frozen=True)
class Ruler:
    """A scale from ``low`` to ``high``, with ticks and their labels."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    logarithmic: bool = False


def ruler(axis: Axis, held: Sequence[float], *, places: bool = False, most: int = 6) -> Ruler:
    """Make an axis that has room for these values.

    Args:
        places: True for an axis of places, which begins at the first; an axis of values contains 0.
        most: approximate number of ticks that there is room for.
    """
    low, high = (place_limits if places else value_limits)(axis, held)
    logarithmic = is_logarithmic(axis, held)
    ticks = _powers(low, high) if logarithmic else ticks_of(low, high, most)
    if axis.whole:
        ticks = [tick for tick in ticks if tick == round(tick)]
    if places and axis.whole and 0.5 <= low < 1 and 1.0 not in ticks and not logarithmic:  # counts begin at 1
        crowded = len(ticks) > 1 and ticks[1] - 1 < 0.5 * (ticks[-1] - ticks[-2])
        ticks = [1.0, *(tick for tick in ticks[crowded:] if tick > 0)]
    return Ruler(low, high, tuple(ticks), labels_of(axis, ticks), logarithmic)


def colour_ruler(axis: Axis, held: Sequence[float]) -> Ruler:
    """Return the scale of a heat map's colours: from the lowest value to the highest."""
    logarithmic = is_logarithmic(axis, held)
    held = (above_zero(held) if logarithmic else held) or [0.0]
    low, high = min(held), max(held)
    high = high if high > low else low + 1
    ticks = _powers(low, high) if logarithmic else ticks_of(low, high)
    return Ruler(low, high, tuple(ticks), labels_of(axis, ticks), logarithmic)


def ticks_of(low: float, high: float, most: int = 5) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten in the range, at most ``most`` + 1 of them.

    >>> ticks_of(0.0, 1.0), ticks_of(0.0, 0.37)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.1, 0.2, 0.3])
    """
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * by for by in (1, 2, 5, 10) if (high - low) / (step * by) <= most + 1e-9)
    return [_round(i * step) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Return powers of ten in the range, at most about seven; over few decades also 2 and 5 times each.

    If fewer than two of them are in the range, return the ticks of a linear scale.

    >>> _powers(1.0, 100.0), _powers(22.0, 60.0)
    ([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0], [30.0, 40.0, 50.0, 60.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(first, last + 1)
    by = (1, 2, 5) if high <= 300 * low else (1,)
    found = [m * 10.0**power for power in powers[:: 1 + len(powers) // 7] for m in by]
    inside = [_round(tick) for tick in found if low <= tick <= high]
    return inside if len(inside) > 1 else [tick for tick in ticks_of(low, high) if tick > 0]


def _round(value: float) -> float:
    """Round away the floating-point error of sums of decimal fractions."""
    return float(f"{value:.12g}")


def labels_of(axis: Axis, ticks: Sequence[float]) -> tuple[str, ...]:
    """Write ticks as percentages, or with one unit for all of them."""
    if axis.percent:
        return tuple(f"{100 * tick:.6g}%" for tick in ticks)
    largest = max(map(abs, ticks), default=0.0)
    size, unit = next(((size, unit) for bound, size, unit in UNITS if largest >= bound), (1.0, ""))
    return tuple(f"{tick / size:.6g}{unit}" if tick else "0" for tick in ticks)

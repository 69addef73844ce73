"""Bars, forests and heat maps of the page: rows below one another, so that their names have room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from bntt.charts.colours import METHODS, Looks
from bntt.charts.limits import finite, is_logarithmic, values_along
from bntt.charts.records import Axis, Bar, Bars, Forest, HeatMap, Number
from bntt.charts.svg_axes import Ruler, ruler
from bntt.charts.svg_shapes import CIRCLE, CROSS, LETTER, WIDTH, digits, mark, path, rectangle, shape, shortened, text

TOP, RIGHT, BOTTOM = 24.0, 20.0, 34.0
BAR, GAP = 9.0, 6.0
"""One bar, and what is between the groups of bars."""
ROW, CELL = 20.0, 15.0
"""Of a forest, and of a heat map."""
SHADE = METHODS["bn"].css
"""Of heat maps: from the ground, where there is little, to this."""


def _left(names: Sequence[str]) -> float:
    return min(170.0, 12 + LETTER * max(map(len, names), default=1))


def bar_height(chart: Bars) -> float:
    """Of the whole drawing."""
    return TOP + len(chart.names) * _group(chart) + BOTTOM


def _group(chart: Bars) -> float:
    return GAP + BAR * (1 if chart.stacked else len(chart.bars))


def bars(chart: Bars, looks: Looks) -> Iterator[Markup]:
    """Lying bars, one group below the other."""
    left, bottom = _left(chart.names), bar_height(chart) - BOTTOM
    scale = ruler(chart.y, values_along(chart), left, WIDTH - RIGHT)
    yield from _frame(scale, chart.y, bottom)
    for i, name in enumerate(chart.names):
        top = TOP + i * _group(chart)
        yield text(left - 6, top + (_group(chart) - GAP) / 2 + 4, shortened(name, left - 12), "end")
        reached = 0.0
        for j, bar in enumerate(chart.bars):
            at = top + (0 if chart.stacked else BAR * j)
            for value in finite(bar.values[i : i + 1]):
                a, b = sorted((scale.at(reached), scale.at(reached + value)))
                yield rectangle(a, at, max(b - a, 0.6), BAR - 1, f"b {looks.colour(bar.name, bar.colour).css}")
                reached += value if chart.stacked else 0.0
            yield from _spread(bar, i, scale, at + BAR / 2 - 0.5)
    yield path(f"M{digits(scale.at(0.0))} {digits(TOP - 4)}V{digits(bottom)}", "axis")


def _spread(bar: Bar, number: int, scale: Ruler, y: float) -> Iterator[Markup]:
    bounds = finite([*bar.low[number : number + 1], *bar.high[number : number + 1]])
    if len(bounds) == 2:
        yield path(f"M{digits(scale.at(bounds[0]))} {digits(y)}H{digits(scale.at(bounds[1]))}", "spread")
    for row in bar.points[number : number + 1]:
        for point in finite(row):
            yield shape(scale.at(point), y, CIRCLE, "spread")


def forest_height(chart: Forest) -> float:
    """Of the whole drawing."""
    return TOP + ROW * len(chart.entries) + BOTTOM


def forest(chart: Forest, looks: Looks) -> Iterator[Markup]:
    """A mark on its interval, a row each."""
    left, bottom = _left([entry.name for entry in chart.entries]), forest_height(chart) - BOTTOM
    scale = ruler(chart.x, values_along(chart), left, WIDTH - RIGHT)
    yield from _frame(scale, chart.x, bottom)
    for level in chart.levels:
        yield path(f"M{digits(scale.at(level.value))} {digits(TOP - 4)}V{digits(bottom)}", "level")
    for i, entry in enumerate(chart.entries):
        y, colour = TOP + ROW * (i + 0.5), looks.colour("entry", entry.colour)
        yield text(left - 6, y + 4, shortened(entry.name, left - 12), "end")
        if len(bounds := finite([entry.low, entry.high])) == 2:
            ends = digits(scale.at(bounds[0])), digits(scale.at(bounds[1]))
            yield path(f"M{ends[0]} {digits(y)}H{ends[1]}", f"l {colour.css}")
        for point in finite(entry.points):
            yield shape(scale.at(point), y, CIRCLE, "spread")
        for value in finite([entry.value]):
            yield mark(scale.at(value), y, 3, colour)
            if entry.invalid:
                yield shape(scale.at(value), y, CROSS, "cross")


def _frame(scale: Ruler, axis: Axis, bottom: float) -> Iterator[Markup]:
    for value, label in zip(scale.ticks, scale.labels, strict=True):
        yield path(f"M{digits(scale.at(value))} {digits(TOP - 4)}V{digits(bottom)}", "grid")
        yield text(scale.at(value), bottom + 15, label, "middle")
    yield text(2, 12, axis.label, "start", "name")


def heat_map_height(chart: HeatMap) -> float:
    """Of the whole drawing."""
    return TOP + CELL * len(chart.rows) + BOTTOM + 6


def heat_map(chart: HeatMap) -> Iterator[Markup]:
    """Cells that are the stronger the more they measure; one without a value is crossed by a line."""
    left, bottom = _left(chart.rows), TOP + CELL * len(chart.rows)
    width = (WIDTH - RIGHT - left) / max(1, len(chart.columns))
    scale = _strength(chart.value, [value for row in chart.values for value in row])
    ends = f"{scale.labels[0]} (faint) to {scale.labels[-1]} (strong)"
    yield text(2, 12, f"{chart.value.label}: {ends}", "start", "name")
    for i, (name, row) in enumerate(zip(chart.rows, chart.values, strict=True)):
        top = TOP + CELL * i
        yield text(left - 6, top + CELL / 2 + 4, shortened(name, left - 12), "end")
        for j, value in enumerate(row):
            x = left + width * j
            if value is None or not finite([value]) or (scale.logarithmic and value <= 0):
                yield path(f"M{digits(x)} {digits(top + CELL)}L{digits(x + width)} {digits(top)}", "grid")
            else:
                yield rectangle(x, top, width, CELL, f"b {SHADE}", scale.at(value))
    longest = LETTER * (1 + max(map(len, chart.columns), default=1))
    for j in range(0, len(chart.columns), math.ceil(longest / width)):
        yield text(left + width * (j + 0.5), bottom + 15, chart.columns[j], "middle")
    yield text(WIDTH - RIGHT, bottom + 34, chart.x.label, "end", "name")


def _strength(axis: Axis, values: Sequence[Number]) -> Ruler:
    """From the least value to the most, as the opacity of a cell."""
    held = [value for value in finite(values) if axis.scale != "log" or value > 0] or [0.0]
    low, high = min(held), max(held)
    ends = tuple(f"{100 * end:.3g}%" if axis.percent else f"{end:.3g}" for end in (low, high))
    return Ruler(low, high if high > low else low + 1, 0.08, 1.0, (low, high), ends, is_logarithmic(axis, held))

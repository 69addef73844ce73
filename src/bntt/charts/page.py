"""Draw bars, forests and heat maps on the page in rows, so that their names have room."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from bntt.charts.axes import Ruler, colour_ruler, finite, ruler, values_along
from bntt.charts.colours import METHODS, Looks
from bntt.charts.records import Axis, Bar, Bars, Chart, Forest, HeatMap, Histogram, Image, Lines
from bntt.charts.svg_lines import (
    CIRCLE,
    CROSS,
    HEIGHT,
    LETTER,
    WIDTH,
    digits,
    histogram,
    lines,
    mark,
    path,
    rectangle,
    shape,
    shortened,
    swatch,
    text,
)
from bntt.charts.text import in_words, number_text

TOP, RIGHT, BOTTOM = 24.0, 20.0, 34.0
BAR, GAP = 9.0, 6.0
"""Height of one bar, and of the gap between the groups of bars."""
ROW, CELL = 20.0, 15.0
"""Heights of a row of a forest, and of a heat map."""
SHADE = METHODS["bn"].css
"""Shade of the highest values of heat maps; lower values fade into the background."""


def _left(names: Sequence[str]) -> float:
    return min(170.0, 12 + LETTER * max(map(len, names), default=1))


def bar_height(chart: Bars) -> float:
    """Return the height of the whole drawing."""
    return TOP + len(chart.names) * _group(chart) + BOTTOM


def _group(chart: Bars) -> float:
    return GAP + BAR * (1 if chart.stacked else len(chart.bars))


def bars(chart: Bars, looks: Looks) -> Iterator[Markup]:
    """Draw horizontal bars, one group below the other."""
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
    """Return the height of the whole drawing."""
    return TOP + ROW * len(chart.entries) + BOTTOM


def forest(chart: Forest, looks: Looks) -> Iterator[Markup]:
    """Draw a row for each entry: a mark on its interval."""
    left, bottom = _left([entry.name for entry in chart.entries]), forest_height(chart) - BOTTOM
    scale = ruler(chart.x, values_along(chart), left, WIDTH - RIGHT)
    yield from _frame(scale, chart.x, bottom)
    for level in chart.levels:
        yield path(f"M{digits(scale.at(level.value))} {digits(TOP - 4)}V{digits(bottom)}", "level")
    for i, entry in enumerate(chart.entries):
        y, colour = TOP + ROW * (i + 0.5), looks.colour("entry", entry.colour)
        yield text(left - 6, y + 4, shortened(entry.name, left - 12), "end")
        if len(bounds := finite([entry.low, entry.high])) == 2 and scale.shows(bounds[1:]):
            ends = digits(scale.at(bounds[0])), digits(scale.at(bounds[1]))
            yield path(f"M{ends[0]} {digits(y)}H{ends[1]}", f"l {colour.css}")
        for point in scale.shows(entry.points):
            yield shape(scale.at(point), y, CIRCLE, "spread")
        if finite([entry.value]) and not scale.shows([entry.value]):
            yield text(left + 4, y + 4, number_text(entry.value, chart.x), "start")
        for value in scale.shows([entry.value]):
            yield mark(scale.at(value), y, 3, colour)
            if entry.invalid:
                yield shape(scale.at(value), y, CROSS, "cross")


def _frame(scale: Ruler, axis: Axis, bottom: float) -> Iterator[Markup]:
    for value, label in zip(scale.ticks, scale.labels, strict=True):
        yield path(f"M{digits(scale.at(value))} {digits(TOP - 4)}V{digits(bottom)}", "grid")
        yield text(scale.at(value), bottom + 15, label, "middle")
    yield text(2, 12, axis.label, "start", "name")


def heat_map_height(chart: HeatMap) -> float:
    """Return the height of the whole drawing."""
    return TOP + CELL * len(chart.rows) + BOTTOM + 6


def heat_map(chart: HeatMap) -> Iterator[Markup]:
    """Draw cells, stronger for higher values; a cell without a value is crossed out by a line."""
    left, bottom = _left(chart.rows), TOP + CELL * len(chart.rows)
    width = (WIDTH - RIGHT - left) / max(1, len(chart.columns))
    scale = colour_ruler(chart.value, values_along(chart), 0.08, 1.0)
    low, high = (f"{100 * end:.3g}%" if chart.value.percent else f"{end:.3g}" for end in (scale.low, scale.high))
    ends = f"{low} (faint) to {high} (strong)"
    yield text(2, 12, f"{chart.value.label}: {ends}", "start", "name")
    for i, (name, row) in enumerate(zip(chart.rows, chart.values, strict=True)):
        top = TOP + CELL * i
        yield text(left - 6, top + CELL / 2 + 4, shortened(name, left - 12), "end")
        for j, value in enumerate(row):
            x = left + width * j
            if shown := scale.shows([value]):
                yield rectangle(x, top, width, CELL, f"b {SHADE}", scale.at(*shown))
            else:
                yield path(f"M{digits(x)} {digits(top + CELL)}L{digits(x + width)} {digits(top)}", "grid")
    longest = LETTER * (1 + max(map(len, chart.columns), default=1))
    for j in range(0, len(chart.columns), math.ceil(longest / width)):
        yield text(left + width * (j + 0.5), bottom + 15, chart.columns[j], "middle")
    yield text(WIDTH - RIGHT, bottom + 34, chart.x.label, "end", "name")


def draw(chart: Chart, looks: Looks) -> Markup:
    """Draw a chart with its text alternative."""
    match chart:
        case Lines():
            body, height = lines(chart, looks), HEIGHT
        case Histogram():
            body, height = histogram(chart, looks), HEIGHT
        case Bars():
            body, height = bars(chart, looks), bar_height(chart)
        case Forest():
            body, height = forest(chart, looks), forest_height(chart)
        case HeatMap():
            body, height = heat_map(chart), heat_map_height(chart)
        case Image():
            return _picture(chart)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart">{}</svg>').format(
        digits(WIDTH), digits(height), in_words(chart), Markup("").join(body)
    )


def legend_of(chart: Chart, looks: Looks) -> list[tuple[Markup, str]]:
    """Return a sample and a name for each entry of a chart's legend; nothing if there is only one."""
    found = list(_legend(chart, looks))
    return found if len(found) > 1 else []


def _legend(chart: Chart, looks: Looks) -> Iterator[tuple[Markup, str]]:
    match chart:
        case Lines():
            for line in chart.lines:
                colour, stroke = looks.colour(line.name, line.colour), Markup("")
                if line.joined:
                    stroke = path("M0 6H24", f"l {colour.css}{' dashed' if line.dashed else ''}")
                yield swatch(stroke + mark(12, 6, looks.numbers[line.name], colour)), line.name
        case Bars():
            for bar in chart.bars:
                yield swatch(rectangle(0, 1, 14, 10, f"b {looks.colour(bar.name, bar.colour).css}"), 14), bar.name
        case Histogram():
            for name in chart.counts:
                yield swatch(path("M0 6H24", f"l {looks.colour(name).css}")), name
    for level in chart.levels if isinstance(chart, Lines | Forest) else ():
        if level.name:
            yield swatch(path("M0 6H24", "level")), level.name


def _picture(chart: Image) -> Markup:
    from PIL import Image as Pixels

    high, wide = len(chart.pixels), len(chart.pixels[0]) if chart.pixels else 0
    values = [
        round(255 * min(1.0, max(0.0, value)))
        for row in chart.pixels
        for pixel in row
        for value in ((pixel,) * 3 if isinstance(pixel, float | int) else pixel)
    ]
    content = io.BytesIO()
    Pixels.frombytes("RGB", (wide, high), bytes(values)).save(content, "PNG")
    return Markup('<img src="data:image/png;base64,{}" alt="{}" class="pixels">').format(
        base64.b64encode(content.getvalue()).decode("ascii"), in_words(chart)
    )

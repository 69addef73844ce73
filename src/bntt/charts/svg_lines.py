"""Lines and histograms of the page: values upwards over places from left to right."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from bntt.charts.colours import Looks
from bntt.charts.limits import finite, places_along, values_along
from bntt.charts.records import Axis, Histogram, Level, Line, Lines
from bntt.charts.svg_axes import Ruler, ruler
from bntt.charts.svg_shapes import CROSS, WIDTH, digits, mark, path, shape, text
from bntt.charts.table import thinned

HEIGHT = 268.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 24.0, 40.0
FEW = 40
"""Points of a line that are marked one by one."""
MOST_POINTS = 400
"""Of one line; of more, evenly many are drawn."""


def lines(chart: Lines, looks: Looks) -> Iterator[Markup]:
    """Bands below lines below levels."""
    y = ruler(chart.y, values_along(chart), HEIGHT - BOTTOM, TOP)
    x = ruler(chart.x, places_along(chart), LEFT + 6, WIDTH - RIGHT, places=True, most=8)
    yield from _frame(x, y, chart.x, chart.y)
    for line in chart.lines:
        yield _band(line, x, y, looks.colour(line.name, line.colour).css)
    for level in chart.levels:
        yield _level(level, x, y)
    for line in chart.lines:
        yield from _line(line, x, y, looks)


def histogram(chart: Histogram, looks: Looks) -> Iterator[Markup]:
    """Stairs over the edges, of a single series filled."""
    y = ruler(chart.y, values_along(chart), HEIGHT - BOTTOM, TOP)
    x = ruler(chart.x, finite(chart.edges), LEFT + 6, WIDTH - RIGHT, places=True, most=8)
    yield from _frame(x, y, chart.x, chart.y)
    edges, zero = [digits(x.at(edge)) for edge in chart.edges], digits(y.at(0.0))
    for name, counts in chart.counts.items():
        stairs = "".join(f"V{digits(y.at(count))}H{edge}" for count, edge in zip(counts, edges[1:], strict=True))
        kind = "b" if len(chart.counts) == 1 else "l"
        yield path(f"M{edges[0]} {zero}{stairs}V{zero}", f"{kind} {looks.colour(name).css}")


def _frame(x: Ruler, y: Ruler, along: Axis, up: Axis) -> Iterator[Markup]:
    right, bottom = digits(WIDTH - RIGHT), HEIGHT - BOTTOM
    for value, label in zip(y.ticks, y.labels, strict=True):
        yield path(f"M{digits(LEFT)} {digits(y.at(value))}H{right}", "grid")
        yield text(LEFT - 6, y.at(value) + 4, label, "end")
    yield path(f"M{digits(LEFT)} {digits(bottom)}H{right}", "axis")
    for value, label in zip(x.ticks, x.labels, strict=True):
        yield path(f"M{digits(x.at(value))} {digits(bottom)}v4", "axis")
        yield text(x.at(value), bottom + 17, label, "middle")
    yield text(2, 12, up.label, "start", "name")
    yield text(WIDTH - RIGHT, HEIGHT - 5, along.label, "end", "name")


def _level(level: Level, x: Ruler, y: Ruler) -> Markup:
    if level.at == "y":
        return path(f"M{digits(LEFT)} {digits(y.at(level.value))}H{digits(WIDTH - RIGHT)}", "level")
    return path(f"M{digits(x.at(level.value))} {digits(TOP)}V{digits(HEIGHT - BOTTOM)}", "level")


def _stretches(line: Line, x: Ruler, y: Ruler) -> list[list[tuple[float, float]]]:
    """The points of a line, which is open where there is no value."""
    found: list[list[tuple[float, float]]] = [[]]
    for i in thinned(len(line.x), MOST_POINTS):
        value = line.y[i]
        if value is None or not finite([value]) or (y.logarithmic and value <= 0):
            found.append([])
        else:
            found[-1].append((x.at(line.x[i]), y.at(value)))
    return [stretch for stretch in found if stretch]


def _line(line: Line, x: Ruler, y: Ruler, looks: Looks) -> Iterator[Markup]:
    stretches, colour = _stretches(line, x, y), looks.colour(line.name, line.colour)
    way = "".join(_way(stretch, stepped=line.stepped) for stretch in stretches if len(stretch) > 1)
    if way and line.joined:
        yield path(way, f"l {colour.css}{' dashed' if line.dashed else ''}")
    if (len(line.x) <= FEW and not line.stepped) or not line.joined:
        for stretch in stretches:
            for a, b in stretch:
                yield mark(a, b, looks.number(line.name), colour)
    for i in line.invalid:
        if (value := line.y[i]) is not None:
            yield shape(x.at(line.x[i]), y.at(value), CROSS, "cross")


def _way(stretch: list[tuple[float, float]], *, stepped: bool) -> str:
    if stepped:
        (a, b), *others = stretch
        return f"M{digits(a)} {digits(b)}" + "".join(f"H{digits(a)}V{digits(b)}" for a, b in others)
    return "M" + "L".join(f"{digits(a)} {digits(b)}" for a, b in stretch)


def _band(line: Line, x: Ruler, y: Ruler, css: str) -> Markup:
    """An interval along the line; a stroke where a place has no neighbour to be joined with."""
    if not line.low or not line.high:
        return Markup("")
    bounds = [
        (digits(x.at(place)), digits(y.at(low)), digits(y.at(high)))
        for place, low, high in zip(line.x, line.low, line.high, strict=True)
        if low is not None and high is not None and (not y.logarithmic or low > 0)
    ]
    if len(bounds) == 1 or not line.joined:
        return Markup("").join(path(f"M{at} {low}V{high}", f"l {css}") for at, low, high in bounds)
    there = [f"{at} {high}" for at, _, high in bounds] + [f"{at} {low}" for at, low, _ in bounds[::-1]]
    return path(f"M{'L'.join(there)}z", f"band {css}") if there else Markup("")

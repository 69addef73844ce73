"""Elements of charts on the page: text that stays text, and shapes with classes of the page's style sheet.

No shape has an inline style: the page's policy forbids those, and classes follow the reader's dark mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from bntt.charts.axes import Ruler, finite, places_along, ruler, values_along
from bntt.charts.colours import Colour, Looks
from bntt.charts.records import Axis, Histogram, Level, Line, Lines, Number
from bntt.charts.text import thinned

WIDTH = 440.0
"""Width of every chart."""
LETTER = 6.3
"""Approximate width of a letter in a label."""
MARKS = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
    "M-2.7 -2.7h5.4v5.4h-5.4z",
    "M0 -3.6L3.5 2.6H-3.5z",
    "M0 -3.8L3.8 0L0 3.8L-3.8 0z",
    "M0 3.6L3.5 -2.6H-3.5z",
    "M-3.4 -1.2h2.2v-2.2h2.4v2.2h2.2v2.4h-2.2v2.2h-2.4v-2.2h-2.2z",
    "M-3.6 0L-1.8 -3.2H1.8L3.6 0L1.8 3.2H-1.8z",
)
"""Shapes that tell series apart without colours."""
CROSS = "M-6 -6L6 6M6 -6L-6 6"
CIRCLE = "M-2.6 0a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0 -5.2 0z"


def digits(value: float) -> str:
    """Format a coordinate with at most two decimals.

    >>> digits(2.0), digits(1 / 3)
    ('2', '0.33')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def path(way: str, kind: str) -> Markup:
    """Draw a path with a CSS class."""
    return Markup('<path d="{}" class="{}"/>').format(way, kind)


def shape(x: float, y: float, way: str, kind: str) -> Markup:
    """Draw a small path at a place."""
    return Markup('<path d="{}" transform="translate({} {})" class="{}"/>').format(way, digits(x), digits(y), kind)


def mark(x: float, y: float, number: int, colour: Colour) -> Markup:
    """Draw the mark of a series at a point."""
    return shape(x, y, MARKS[number % len(MARKS)], f"m {colour.css}")


def rectangle(x: float, y: float, width: float, height: float, kind: str, opacity: float = 1.0) -> Markup:
    """Draw a bar, or a cell of a heat map, which is fainter for lower values."""
    faint = Markup(' fill-opacity="{}"').format(digits(opacity)) if opacity < 1 else ""
    ends = (digits(x), digits(y), digits(width), digits(height))
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"{}/>').format(*ends, kind, faint)


def text(x: float, y: float, words: str, place: str, kind: str = "") -> Markup:
    """Draw words whose "start", "middle" or "end" is at a place."""
    classed = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<text x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(
        digits(x), digits(y), place, classed, escape(words)
    )


def shortened(name: str, width: float) -> str:
    """Shorten a name that does not fit, keeping both ends: names with the same beginning differ at the end.

    >>> shortened("CIFAR-10 (JPEG copy, reduced): BNTT", 120.0)
    'CIFAR-10…ed): BNTT'
    """
    most = max(2, int(width / LETTER))
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end].rstrip()}…{name[len(name) - end :]}"


def swatch(inner: Markup, width: int = 24) -> Markup:
    """Draw the sample next to a name in a legend."""
    return Markup('<svg viewBox="0 0 {} 12" width="{}" height="12" aria-hidden="true" class="swatch">{}</svg>').format(
        width, width, inner
    )


HEIGHT = 268.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 24.0, 40.0
FEW = 40
"""Largest number of points of a joined line with marks; points that are not joined are all marked."""
MARKED = 13
"""Largest number of marks on a joined line; if it has more points, the marks are evenly spaced."""
MOST_POINTS = 400
"""Largest number of points drawn of one line; of more, an evenly spaced selection."""


def lines(chart: Lines, looks: Looks) -> Iterator[Markup]:
    """Draw bands, levels above them, and lines on top."""
    y = ruler(chart.y, values_along(chart), HEIGHT - BOTTOM, TOP)
    x = ruler(chart.x, places_along(chart), LEFT + 6, WIDTH - RIGHT, places=True, most=8)
    yield from _frame(x, y, chart.x, chart.y)
    for line in chart.lines:
        yield from _band(line, x, y, looks.colour(line.name, line.colour).css)
    for level in chart.levels:
        yield _level(level, x, y)
    for line in chart.lines:
        yield from _line(line, x, y, looks)


def histogram(chart: Histogram, looks: Looks) -> Iterator[Markup]:
    """Draw stairs over the edges, filled for a single series."""
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


def _stretches(line: Line, x: Ruler, y: Ruler, *values: Sequence[Number]) -> list[list[tuple[float, ...]]]:
    """Return a line's places with the heights of these values, split where a place or a height is missing.

    Heights may lie outside the axis.
    """
    found: list[list[tuple[float, ...]]] = [[]]
    for i in thinned(len(line.x), MOST_POINTS):
        if len(shown := y.shows(of[i] for of in values)) < len(values) or not x.shows([line.x[i]]):
            found.append([])
        else:
            found[-1].append((x.at(line.x[i]), *map(y.beyond, shown)))
    return [stretch for stretch in found if stretch]


def _line(line: Line, x: Ruler, y: Ruler, looks: Looks) -> Iterator[Markup]:
    stretches, colour = _stretches(line, x, y, line.y), looks.colour(line.name, line.colour)
    parts = [part for stretch in stretches for part in _within(_corners(stretch, stepped=line.stepped), y)]
    way = "".join(_way(part, stepped=line.stepped) for part in parts)
    if way and line.joined:
        yield path(way, f"l {colour.css}{' dashed' if line.dashed else ''}")
    if len(line.x) <= (1 if line.stepped else FEW) or not line.joined:
        for stretch in stretches:
            for a, b in stretch if not line.joined else [stretch[i] for i in thinned(len(stretch), MARKED)]:
                if y.holds(b):
                    yield mark(a, b, looks.numbers[line.name], colour)
    for i in line.invalid:
        for value in y.shows([line.y[i]]) if x.shows([line.x[i]]) else ():
            if y.holds(height := y.beyond(value)):
                yield shape(x.at(line.x[i]), height, CROSS, "cross")


Points = Sequence[tuple[float, ...]]


def _corners(stretch: Points, *, stepped: bool) -> Points:
    """Return the points that a line joins; steps go to the next place first, then to its height."""
    if not stepped:
        return stretch
    return [*stretch[:1], *(corner for (_, old), (a, b) in pairwise(stretch) for corner in ((a, old), (a, b)))]


def _within(points: Points, y: Ruler) -> Iterator[list[tuple[float, ...]]]:
    """Yield the parts of a line that lie on the axis of heights, cut where it leaves."""
    part: list[tuple[float, ...]] = []
    for (a, b), (c, d) in pairwise(points):
        ends = sorted([(y.start - b) / (d - b), (y.end - b) / (d - b)] if d != b else [0.0, float(y.holds(b))])
        first, last = max(0.0, ends[0]), min(1.0, ends[1])
        if first > 0 and part:
            yield part
            part = []
        if first < last:
            part = part or [(a + first * (c - a), b + first * (d - b))]
            part.append((a + last * (c - a), b + last * (d - b)))
        if last < 1 and part:
            yield part
            part = []
    if part:
        yield part


def _way(points: Points, *, stepped: bool) -> str:
    if not stepped:
        return "M" + "L".join(f"{digits(a)} {digits(b)}" for a, b in points)
    (first, height), *_ = points
    steps = (f"H{digits(c)}" if d == b else f"V{digits(d)}" for (_, b), (c, d) in pairwise(points))
    return f"M{digits(first)} {digits(height)}{''.join(steps)}"


def _band(line: Line, x: Ruler, y: Ruler, css: str) -> Iterator[Markup]:
    """Draw an interval along the line; a stroke at a place without a neighbour."""
    for stretch in _stretches(line, x, y, line.low, line.high) if line.low and line.high else ():
        if line.joined and len(stretch) > 1:
            there = [(at, y.within(high)) for at, _, high in stretch]
            there += [(at, y.within(low)) for at, low, _ in stretch[::-1]]
            yield path(f"{_way(there, stepped=False)}z", f"band {css}")
        else:
            for at, low, high in stretch:
                yield path(f"M{digits(at)} {digits(y.within(low))}V{digits(y.within(high))}", f"l {css}")

"""Figures as inline SVG: text stays text, colours are classes of the page's style, and the same numbers give the same
bytes. No library draws: a picture of the page's own takes the reader's colours, in the dark and on paper.
"""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup, escape

from bntt.studies.report.axes import Axis, from_places, from_values
from bntt.studies.report.chart import Chart, Line, in_words

WIDTH, HEIGHT = 440.0, 268.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 24.0, 40.0
FEW = 40
"""Points of a line that are marked one by one."""
ROW, BAR = 6.0, 9.0
"""Between the groups of bars; and one bar."""
LETTER = 6.3
"""Of a label, about."""
MARKS = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
    "M-2.7 -2.7h5.4v5.4h-5.4z",
    "M0 -3.6L3.5 2.6H-3.5z",
    "M0 -3.8L3.8 0L0 3.8L-3.8 0z",
    "M0 3.6L3.5 -2.6H-3.5z",
    "M-3.4 -1.2h2.2v-2.2h2.4v2.2h2.2v2.4h-2.2v2.2h-2.4v-2.2h-2.2z",
    "M-3.6 0L-1.8 -3.2H1.8L3.6 0L1.8 3.2H-1.8z",
)
"""Shapes that tell lines apart without colours."""


def drawn(chart: Chart) -> Markup:
    """The figure with its text alternative."""
    body, height = (_bars(chart), _height(chart)) if chart.bars else (_lines(chart), HEIGHT)
    inner = Markup("").join(body)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart">{}</svg>').format(
        _n(WIDTH), _n(height), in_words(chart), inner
    )


def swatch(number: int, colour: int, *, bar: bool = False) -> Markup:
    """What stands beside a name in the legend."""
    if bar:
        shape = Markup('<rect width="14" height="10" y="1" class="b c{}"/>').format(colour)
    else:
        shape = Markup('<path d="M0 6H24" class="l c{} d{}"/>').format(colour, _dash(number))
        shape += _mark(12, 6, number, colour)
    return Markup('<svg viewBox="0 0 {} 12" width="{}" height="12" aria-hidden="true" class="swatch">{}</svg>').format(
        14 if bar else 24, 14 if bar else 24, shape
    )


def level() -> Markup:
    """What stands beside the name of a height."""
    return Markup('<svg viewBox="0 0 24 12" width="24" height="12" aria-hidden="true" class="swatch">{}</svg>').format(
        Markup('<path d="M0 6H24" class="level"/>')
    )


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _dash(number: int) -> int:
    """Lines beyond the tenth, which share a colour with one before, are dashed."""
    return number // 10 % 3


def _mark(x: float, y: float, number: int, colour: int) -> Markup:
    return Markup('<path d="{}" transform="translate({} {})" class="m c{}"/>').format(
        MARKS[number % len(MARKS)], _n(x), _n(y), colour
    )


def _text(x: float, y: float, words: str, place: str, kind: str = "") -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(
        _n(x), _n(y), place, Markup(' class="{}"').format(kind) if kind else "", escape(words)
    )


def _lines(chart: Chart) -> Iterator[Markup]:
    held = [v for line in chart.lines for v in (*line.y, *line.low, *line.high) if v is not None]
    held += [] if chart.level is None else [chart.level]
    y = from_values(held, HEIGHT - BOTTOM, TOP, percent=chart.percent, logarithmic=chart.logarithmic)
    x = from_places([v for line in chart.lines for v in line.x], LEFT + 6, WIDTH - RIGHT, whole=chart.whole_x)
    yield from _frame(x, y, chart)
    for line in chart.lines:
        yield _band(line, x, y)
    if chart.level is not None:
        height = _n(y.at(chart.level))
        yield Markup('<path d="M{} {}H{}" class="level"/>').format(_n(LEFT), height, _n(WIDTH - RIGHT))
    for number, line in enumerate(chart.lines):
        yield from _line(number, line, x, y)


def _frame(x: Axis, y: Axis, chart: Chart) -> Iterator[Markup]:
    for value, label in zip(y.ticks, y.labels, strict=True):
        at = y.at(value)
        yield Markup('<path d="M{} {}H{}" class="grid"/>').format(_n(LEFT), _n(at), _n(WIDTH - RIGHT))
        yield _text(LEFT - 6, at + 4, label, "end")
    bottom = HEIGHT - BOTTOM
    yield Markup('<path d="M{} {}H{}" class="axis"/>').format(_n(LEFT), _n(bottom), _n(WIDTH - RIGHT))
    for value, label in zip(x.ticks, x.labels, strict=True):
        place = x.at(value)
        yield Markup('<path d="M{} {}v4" class="axis"/>').format(_n(place), _n(bottom))
        yield _text(place, bottom + 17, label, "middle")
    yield _text(2, 12, chart.y, "start", "name")
    yield _text(WIDTH - RIGHT, HEIGHT - 5, chart.x, "end", "name")


def _points(line: Line, x: Axis, y: Axis) -> list[list[tuple[float, float]]]:
    """The line's stretches: it is open where there is no value."""
    found: list[list[tuple[float, float]]] = [[]]
    for place, value in zip(line.x, line.y, strict=True):
        if value is None or (y.logarithmic and value <= 0):
            found.append([])
        else:
            found[-1].append((x.at(place), y.at(value)))
    return [stretch for stretch in found if stretch]


def _line(number: int, line: Line, x: Axis, y: Axis) -> Iterator[Markup]:
    stretches = _points(line, x, y)
    path = "".join("M" + "L".join(f"{_n(a)} {_n(b)}" for a, b in stretch) for stretch in stretches if len(stretch) > 1)
    if path:
        yield Markup('<path d="{}" class="l c{} d{}"/>').format(path, line.colour, _dash(number))
    if len(line.x) <= FEW:
        for stretch in stretches:
            for a, b in stretch:
                yield _mark(a, b, number, line.colour)
    for at in line.crossed:
        value = line.y[at]
        if value is not None:
            where = f"translate({_n(x.at(line.x[at]))} {_n(y.at(value))})"
            yield Markup('<path d="M-6 -6L6 6M6 -6L-6 6" transform="{}" class="cross"/>').format(where)


def _band(line: Line, x: Axis, y: Axis) -> Markup:
    if not line.low or not line.high:
        return Markup("")
    bounds = [
        (x.at(place), y.at(low), y.at(high))
        for place, low, high in zip(line.x, line.low, line.high, strict=True)
        if low is not None and high is not None and (not y.logarithmic or low > 0)
    ]
    if len(bounds) == 1:
        ((at, low, high),) = bounds
        return Markup('<path d="M{} {}V{}" class="l c{}"/>').format(_n(at), _n(low), _n(high), line.colour)
    there = [f"{_n(at)} {_n(high)}" for at, _, high in bounds] + [f"{_n(at)} {_n(low)}" for at, low, _ in bounds[::-1]]
    return Markup('<path d="M{}z" class="band c{}"/>').format("L".join(there), line.colour) if there else Markup("")


def _height(chart: Chart) -> float:
    return TOP + len(chart.names) * (ROW + BAR * len(chart.bars)) + BOTTOM - 6


def _bars(chart: Chart) -> Iterator[Markup]:
    """Lying, one group below the other, so that names have room."""
    left = min(170.0, 12 + LETTER * max(map(len, chart.names), default=1))
    held = [v for bar in chart.bars for v in bar.values if v is not None]
    bottom = _height(chart) - BOTTOM + 6
    axis = from_values(held, left, WIDTH - RIGHT - 8, percent=chart.percent)
    for value, label in zip(axis.ticks, axis.labels, strict=True):
        at = axis.at(value)
        yield Markup('<path d="M{} {}V{}" class="grid"/>').format(_n(at), _n(TOP - 4), _n(bottom))
        yield _text(at, bottom + 15, label, "middle")
    yield _text(2, 12, chart.y, "start", "name")
    zero = axis.at(0.0)
    for i, name in enumerate(chart.names):
        top = TOP + i * (ROW + BAR * len(chart.bars))
        most = int((left - 12) / LETTER)
        short = name if len(name) <= most else name[: most - 1] + "…"
        yield _text(left - 6, top + BAR * len(chart.bars) / 2 + 4, short, "end")
        for j, bar in enumerate(chart.bars):
            reached = bar.values[i]
            if reached is not None:
                a, b = sorted((zero, axis.at(reached)))
                yield Markup('<rect x="{}" y="{}" width="{}" height="{}" class="b c{}"/>').format(
                    _n(a), _n(top + BAR * j), _n(max(b - a, 0.6)), _n(BAR - 1), bar.colour
                )
    yield Markup('<path d="M{} {}V{}" class="axis"/>').format(_n(zero), _n(TOP - 4), _n(bottom))

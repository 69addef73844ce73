"""Figures as data: lines and bars with their axes; in words, for who cannot see them; which of many points to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Numbers = Sequence[float | None]
MOST_LINES = 40
"""Of one figure."""
MOST_POINTS = 400
"""Of one line; of more, evenly many are drawn."""
COMPARED = (0, 6, 3, 8, 5, 2, 9, 7, 1, 4)
"""Colours of lines that are compared, far from each other; layers take them in order, from the first to the last."""


@dataclass(frozen=True)
class Line:
    """Values at places; None where there is none. ``low`` and ``high`` bound an interval."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    colour: int = 0
    """Of ten."""
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    crossed: tuple[int, ...] = ()
    """Points whose numbers are worth nothing."""


@dataclass(frozen=True)
class Bars:
    """A value for each of the chart's names."""

    name: str
    values: tuple[float | None, ...]
    colour: int = 0


@dataclass(frozen=True)
class Chart:
    """Lines over an axis of numbers, or bars of names."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...] = ()
    names: tuple[str, ...] = ()
    bars: tuple[Bars, ...] = ()
    percent: bool = False
    """Values are shares."""
    logarithmic: bool = False
    level: float | None = None
    """A height that is marked, and what it is."""
    level_name: str = ""
    caption: str = ""
    """What was run."""
    whole_x: bool = True
    """The axis counts."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be seen."""
        held = [*(v for line in self.lines for v in line.y), *(v for bar in self.bars for v in bar.values)]
        return all(v is None for v in held)


def over_steps(rows: Mapping[str, Numbers], *, layers: bool = True) -> tuple[Line, ...]:
    """A line for each name, over steps counted from 1, thinned to what can be seen."""
    return tuple(
        line(name, list(range(1, len(row) + 1)), row, i if layers else COMPARED[i % 10])
        for i, (name, row) in enumerate(list(rows.items())[:MOST_LINES])
    )


def line(name: str, x: Sequence[float], y: Numbers, colour: int = 0) -> Line:
    """Of points, at most :data:`MOST_POINTS` of them.

    Raises:
        ValueError: if the two are not equally many.
    """
    if len(x) != len(y):
        raise ValueError(f"{name}: {len(x)} places for {len(y)} values")
    kept = thinned(len(x), MOST_POINTS)
    return Line(name, tuple(float(x[i]) for i in kept), tuple(y[i] for i in kept), colour % 10)


def thinned(total: int, most: int) -> list[int]:
    """Evenly many of ``total`` places, the first and the last among them.

    >>> thinned(5, 9), thinned(10, 4)
    ([0, 1, 2, 3, 4], [0, 3, 6, 9])
    """
    if total <= most:
        return list(range(total))
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]


def said(value: float | None, *, percent: bool = False) -> str:
    """A value as figures and their tables write it.

    >>> said(0.5455, percent=True), said(1234.5), said(None)
    ('54.5%', '1,234', '–')
    """
    if value is None:
        return "–"
    if percent:
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def in_words(chart: Chart) -> str:
    """What the figure shows, for who cannot see it: of each line where it begins, ends, and is highest."""
    if chart.bars:
        told = "; ".join(
            f"{bar.name}: " + ", ".join(f"{n} {said(v, percent=chart.percent)}" for n, v in _pairs(chart.names, bar))
            for bar in chart.bars[:8]
        )
        return f"Bar chart of {chart.y}. {told}."
    told = " ".join(_line_in_words(one, chart) for one in chart.lines[:12])
    more = f" And {len(chart.lines) - 12} more lines." if len(chart.lines) > 12 else ""
    level = f" A dashed line marks {chart.level_name}." if chart.level is not None else ""
    return f"Line chart of {chart.y} against {chart.x}. {told}{more}{level}"


def _pairs(names: Sequence[str], bar: Bars) -> list[tuple[str, float | None]]:
    return list(zip(names, bar.values, strict=True))[:12]


def _line_in_words(of: Line, chart: Chart) -> str:
    seen = [(x, y) for x, y in zip(of.x, of.y, strict=True) if y is not None]
    if not seen:
        return f"{of.name}: no values."
    (first, begins), (last, ends), (at, most) = seen[0], seen[-1], max(seen, key=lambda point: point[1])

    def value(y: float) -> str:
        return said(y, percent=chart.percent)

    if len(seen) == 1:
        return f"{of.name}: {value(begins)} at {first:g}."
    text = f"{of.name}: from {value(begins)} at {first:g} to {value(ends)} at {last:g}"
    crossed = f", {len(of.crossed)} invalid" if of.crossed else ""
    return text + ("" if at in (first, last) else f", highest {value(most)} at {at:g}") + crossed + "."

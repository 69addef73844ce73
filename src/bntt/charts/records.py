"""A chart as a frozen record: what is shown, never how. Measurements make charts; files and the page draw them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

Number = float | None
"""None where there is no value: a line is interrupted there, a cell is empty."""


@dataclass(frozen=True)
class Axis:
    """The quantity along an axis; its label has the unit in parentheses."""

    label: str
    percent: bool = False
    """True if values are shares, 0 to 1, written as percentages."""
    whole: bool = False
    """True if it counts: no ticks between whole numbers."""
    scale: Literal["linear", "log"] = "linear"
    low: Number = None
    high: Number = None
    """The lowest and the highest possible value; nothing is drawn beyond."""
    shown: tuple[float, ...] = ()
    """Values of other panels for which a shared scale needs room as well."""


STEPS = Axis("time step", whole=True)


@dataclass(frozen=True)
class Line:
    """Values at places; ``low`` and ``high`` bound an interval, or the spread over starts."""

    name: str
    x: Sequence[float]
    y: Sequence[Number]
    colour: str = ""
    """Key of its colour, such as a method's name; "" gives a shade by its place among the lines, as for layers."""
    low: Sequence[Number] = ()
    high: Sequence[Number] = ()
    dashed: bool = False
    invalid: Sequence[int] = ()
    stepped: bool = False
    """True if a value holds up to the next place, as counts between edges do."""
    joined: bool = True
    """True if the points are joined; points of single starts are not."""

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or {len(self.low), len(self.high)} - {0, len(self.y)}:
            raise ValueError(f"the line {self.name!r} has {len(self.x)} places and {len(self.y)} values")


@dataclass(frozen=True)
class Level:
    """A marked height (``at="y"``) or place (``at="x"``)."""

    value: float
    name: str = ""
    at: Literal["x", "y"] = "y"


@dataclass(frozen=True)
class Lines:
    """Lines over an axis of numbers."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    levels: Sequence[Level] = ()
    note: str = ""
    """The run, or how to read the chart."""


@dataclass(frozen=True)
class Bar:
    """One series of bars: a value for each of the chart's names, with its interval or its single starts."""

    name: str
    values: Sequence[Number]
    colour: str = ""
    low: Sequence[Number] = ()
    high: Sequence[Number] = ()
    points: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class Bars:
    """Bars from 0, one group per name; a logarithmic axis has no 0 and needs a :class:`Forest`."""

    title: str
    y: Axis
    names: Sequence[str]
    bars: Sequence[Bar]
    stacked: bool = False
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """One row of a forest: a value, its interval, and the single values behind it."""

    name: str
    value: Number
    low: Number = None
    high: Number = None
    points: Sequence[float] = ()
    colour: str = ""
    invalid: bool = False


@dataclass(frozen=True)
class Forest:
    """Values with their intervals, one below the other."""

    title: str
    x: Axis
    entries: Sequence[Entry]
    levels: Sequence[Level] = ()
    note: str = ""


@dataclass(frozen=True)
class HeatMap:
    """A table of colours, ``values[row][column]``, that measure ``value``."""

    title: str
    x: Axis
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[Number]]
    value: Axis
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, for each series: ``counts[i]`` lie from ``edges[i]`` to ``edges[i + 1]``."""

    title: str
    x: Axis
    y: Axis
    edges: Sequence[float]
    counts: Mapping[str, Sequence[float]]
    note: str = ""


@dataclass(frozen=True)
class Image:
    """Pixels from 0 to 1: rows of columns, each a grey value or (red, green, blue)."""

    title: str
    pixels: Sequence[Sequence[float | Sequence[float]]]
    note: str = ""


Chart = Lines | Bars | Forest | HeatMap | Histogram | Image


@dataclass(frozen=True)
class Figure:
    """The content of one file: charts side by side, under a title that names run and dataset."""

    title: str
    charts: Sequence[Chart]
    columns: int = 0
    """Charts in a row; 0 leaves it to the renderer."""
    stem: str = ""
    """Stem of its file if a measurement has several figures; "" is the measurement's own."""


def over_steps(rows: Mapping[str, Sequence[Number]], *, methods: bool = False) -> list[Line]:
    """Make a line for each row over steps counted from 1, in colours of ``methods`` or in shades of layers."""
    return [Line(name, range(1, len(row) + 1), row, name if methods else "") for name, row in rows.items()]


def map_over_steps(title: str, rows: Mapping[str, Sequence[Number]], value: Axis, note: str = "") -> HeatMap:
    """Make a heat map with a row for each name, over steps counted from 1."""
    steps = [str(t) for t in range(1, 1 + max(map(len, rows.values()), default=0))]
    return HeatMap(title, STEPS, list(rows), steps, list(rows.values()), value, note)


MEASURES: dict[type, str] = {Lines: "y", Bars: "y", Forest: "x", HeatMap: "value", Histogram: "y"}


def finite(values: Iterable[Number]) -> list[float]:
    """Return the values that can be drawn."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def values_of(chart: Chart) -> list[float]:
    """Return what a chart shows along its axis of values; nothing of one that shows nothing, and of an image."""
    values: Iterable[Number] = ()
    match chart:
        case Lines():
            values = [v for line in chart.lines for v in (*line.y, *line.low, *line.high)]
        case Bars(stacked=True):
            values = [sum(finite(column)) for column in zip(*(bar.values for bar in chart.bars), strict=True)]
        case Bars():
            values = [v for bar in chart.bars for v in (*bar.values, *bar.low, *bar.high, *chain(*bar.points))]
        case Forest():
            values = [v for entry in chart.entries for v in (entry.value, entry.low, entry.high, *entry.points)]
        case HeatMap():
            values = chain(*chart.values)
        case Histogram():
            values = chain(*chart.counts.values())
    return finite(values)

"""Tables of a page, and the numbers of a chart as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bntt.charts.records import Axis, Bars, Chart, Forest, HeatMap, Histogram, Image, Line, Lines, Number
from bntt.charts.words import interval_text, number_text

Mark = Literal["", "gap", "good", "bad", "open"]
"""How a cell is told apart: by colour, and always by its words too."""
MOST_ROWS = 100
"""Of a chart's table; of more, evenly many are shown, and it says so."""


@dataclass(frozen=True)
class Cell:
    """What stands in a table: a text, what it is sorted by, and a note below it."""

    text: str
    value: float | None = None
    note: str = ""
    mark: Mark = ""
    link: str = ""
    """To a place of the page."""


@dataclass(frozen=True)
class Table:
    """Rows under named columns; the first cell of a row names it. A caption says what was run."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    """Below it."""


def thinned(total: int, most: int) -> list[int]:
    """Evenly many of ``total`` places, the first and the last among them.

    >>> thinned(5, 9), thinned(10, 4)
    ([0, 1, 2, 3, 4], [0, 3, 6, 9])
    """
    if total <= most:
        return list(range(total))
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]


def table_of(chart: Chart) -> Table:
    """The numbers of a chart; an image has none."""
    match chart:
        case Lines():
            return _lines(chart)
        case Bars():
            rows = [
                (
                    Cell(name),
                    *(_cell(bar.values[i], chart.y, bar.low[i : i + 1], bar.high[i : i + 1]) for bar in chart.bars),
                )
                for i, name in enumerate(chart.names)
            ]
            return _table(chart, chart.y, ["", *(bar.name for bar in chart.bars)], rows)
        case Forest():
            rows = [
                (Cell(e.name), _cell(e.value, chart.x, [e.low], [e.high], invalid=e.invalid)) for e in chart.entries
            ]
            return _table(chart, chart.x, ["", chart.x.label], rows)
        case HeatMap():
            rows = [
                (Cell(name), *(_cell(value, chart.value) for value in values))
                for name, values in zip(chart.rows, chart.values, strict=True)
            ]
            return _table(chart, chart.value, ["", *chart.columns], rows)
        case Histogram():
            edges = zip(chart.edges[:-1], chart.edges[1:], strict=True)
            rows = [
                (Cell(f"{low:g} to {high:g}", low), *(_cell(counts[i], chart.y) for counts in chart.counts.values()))
                for i, (low, high) in enumerate(edges)
            ]
            return _table(chart, chart.y, [chart.x.label, *chart.counts], rows)
        case Image():
            return Table(chart.title, (), ())


def _table(chart: Chart, axis: Axis, columns: list[str], rows: list[tuple[Cell, ...]]) -> Table:
    shown = [rows[i] for i in thinned(len(rows), MOST_ROWS)]
    note = f"{len(shown)} of {len(rows):,} rows, evenly chosen." if len(shown) < len(rows) else ""
    return Table(f"{chart.title}: {axis.label}", tuple(columns), tuple(shown), note)


def _lines(chart: Lines) -> Table:
    places = sorted({x for line in chart.lines for x in line.x})
    at = [{x: i for i, x in enumerate(line.x)} for line in chart.lines]
    rows = [
        (
            Cell(f"{x:g}", float(x)),
            *(_at(line, found.get(x), chart) for line, found in zip(chart.lines, at, strict=True)),
        )
        for x in places
    ]
    return _table(chart, chart.y, [chart.x.label, *(line.name for line in chart.lines)], rows)


def _at(line: Line, place: int | None, chart: Lines) -> Cell:
    if place is None:
        return Cell("–")
    low, high = line.low[place : place + 1], line.high[place : place + 1]
    return _cell(line.y[place], chart.y, low, high, invalid=place in line.invalid)


def _cell(
    value: Number, axis: Axis, low: Sequence[Number] = (), high: Sequence[Number] = (), *, invalid: bool = False
) -> Cell:
    """A value, with its interval as a note; ``low`` and ``high`` hold one bound or none."""
    text = number_text(value, axis)
    interval = interval_text(low[0], high[0], axis) if low and high else ""
    return Cell(f"{text} INVALID", value, interval, "bad") if invalid else Cell(text, value, interval)

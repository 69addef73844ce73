"""The numbers of a figure as a table."""

from __future__ import annotations

from bntt.studies.report.blocks import Cell, Table
from bntt.studies.report.chart import Chart, Line, said, thinned

MOST = 100
"""Rows of a figure's table; of more, evenly many are shown, and it says so."""


def table_of(chart: Chart) -> Table:
    """A row for each place of the lines, or for each name of the bars; a column for each of them."""
    caption = f"{chart.title}: {chart.y}"
    if chart.bars:
        rows = [
            (Cell(name), *(_cell(bar.values[i], chart) for bar in chart.bars)) for i, name in enumerate(chart.names)
        ]
        return Table(caption, ("", *(bar.name for bar in chart.bars)), tuple(rows[:MOST]))
    places = sorted({x for line in chart.lines for x in line.x})
    at = [places[i] for i in thinned(len(places), MOST)]
    rows = [(Cell(f"{x:g}", x), *(_at(line, x, chart) for line in chart.lines)) for x in at]
    note = f"{len(at)} of {len(places):,} rows, evenly chosen." if len(at) < len(places) else ""
    return Table(caption, (chart.x, *(line.name for line in chart.lines)), tuple(rows), note)


def _at(line: Line, x: float, chart: Chart) -> Cell:
    if x not in line.x:
        return Cell("–")
    place = line.x.index(x)
    cell = _cell(line.y[place], chart)
    return Cell(f"{cell.text} INVALID", cell.value, mark="bad") if place in line.crossed else cell


def _cell(value: float | None, chart: Chart) -> Cell:
    return Cell(said(value, percent=chart.percent), value)

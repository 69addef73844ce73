"""Sections of results on a terminal: words, tables, and the numbers of charts over time."""

from __future__ import annotations

from bntt.charts.records import STEPS, Axis, HeatMap, Lines
from bntt.charts.section import Section
from bntt.cli import console


def show(title: str, of: Section) -> None:
    """Print a section of results: its words, its tables, and the numbers of its charts over time."""
    console.line("")
    console.line(title)
    for words in of.words:
        console.line(words)
    for one in (*of.tables, *of.folded):
        console.columns(one.caption, one.columns, ([cell.text for cell in row] for row in one.rows))
        if one.note:
            console.line(one.note)
    for chart in of.charts:
        if isinstance(chart, Lines) and chart.x == STEPS:
            _over_time(chart)
        elif isinstance(chart, HeatMap) and chart.x == STEPS:
            rows = zip(chart.rows, chart.values, strict=True)
            cells = {name: [_value(value, chart.value) for value in row] for name, row in rows}
            console.table(f"{chart.title}: {chart.value.label}, at step", len(chart.columns), cells)
    for gap in of.gaps:
        console.line(gap)


def _over_time(chart: Lines) -> None:
    steps = max((round(x) for one in chart.lines for x in one.x), default=0)
    rows = {}
    for one in chart.lines:
        values = {round(x): y for x, y in zip(one.x, one.y, strict=True) if y is not None}
        rows[one.name] = [_value(values.get(t), chart.y) for t in range(1, steps + 1)]
    console.table(f"{chart.title}: {chart.y.label}, at step", steps, rows)


def _value(value: float | None, axis: Axis) -> str:
    if value is None:
        return "-"
    if axis.percent:
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"

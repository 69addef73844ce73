"""A chart in words, for whoever does not see it, and its numbers as they are written."""

from __future__ import annotations

from bntt.charts.records import Axis, Bars, Chart, Entry, Forest, HeatMap, Histogram, Image, Line, Lines, Number

MOST_SERIES = 12
MOST_VALUES = 12
"""Of each, in words; more are counted."""


def number_text(value: Number, axis: Axis) -> str:
    """A value as tables and words write it.

    >>> number_text(0.5455, Axis("accuracy", percent=True)), number_text(1234.5, Axis("spikes"))
    ('54.5%', '1,234')
    >>> number_text(None, Axis("spikes"))
    '–'
    """
    if value is None:
        return "–"
    if axis.percent:
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def interval_text(low: Number, high: Number, axis: Axis) -> str:
    """An interval in words; "" where there is none.

    >>> interval_text(0.5, 0.6, Axis("accuracy", percent=True)), interval_text(None, 1.0, Axis("loss"))
    ('50.0% to 60.0%', '')
    """
    return "" if low is None or high is None else f"{number_text(low, axis)} to {number_text(high, axis)}"


def in_words(chart: Chart) -> str:
    """What a chart shows: of each line where it begins, ends and is highest; the values of bars and rows; the ends of
    what colours measure."""
    match chart:
        case Lines():
            lines = " ".join(_line(line, chart) for line in chart.lines[:MOST_SERIES])
            return (
                f"Line chart of {chart.y.label} against {chart.x.label}. {lines}{_more(len(chart.lines), 'lines')}"
                + (_levels(chart))
            )
        case Bars():
            return f"Bar chart of {chart.y.label}. {_bars(chart)}."
        case Forest():
            rows = "; ".join(_entry(entry, chart.x) for entry in chart.entries[:MOST_SERIES])
            return f"Values of {chart.x.label}. {rows}.{_more(len(chart.entries), 'rows')}{_levels(chart)}"
        case HeatMap():
            return _heat_map(chart)
        case Histogram():
            series = "; ".join(_counts(name, chart) for name in list(chart.counts)[:MOST_SERIES])
            return f"Histogram of {chart.x.label}. {series}."
        case Image():
            return f"Picture of {len(chart.pixels)} rows of pixels: {chart.title}."


def _more(count: int, what: str) -> str:
    return f" And {count - MOST_SERIES} more {what}." if count > MOST_SERIES else ""


def _levels(chart: Lines | Forest) -> str:
    names = ", ".join(level.name for level in chart.levels if level.name)
    return f" Marked: {names}." if names else ""


def _line(line: Line, chart: Lines) -> str:
    seen = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None]
    if not seen:
        return f"{line.name}: no values."
    (first, begins), (last, ends), (at, most) = seen[0], seen[-1], max(seen, key=lambda point: point[1])
    if len(seen) == 1:
        return f"{line.name}: {number_text(begins, chart.y)} at {first:g}."
    text = f"{line.name}: from {number_text(begins, chart.y)} at {first:g} to {number_text(ends, chart.y)} at {last:g}"
    highest = "" if at in (first, last) else f", highest {number_text(most, chart.y)} at {at:g}"
    invalid = f", {len(line.invalid)} invalid" if line.invalid else ""
    return f"{text}{highest}{invalid}."


def _bars(chart: Bars) -> str:
    return "; ".join(
        f"{bar.name}: "
        + ", ".join(
            f"{name} {number_text(value, chart.y)}"
            for name, value in list(zip(chart.names, bar.values, strict=True))[:MOST_VALUES]
        )
        for bar in chart.bars[:MOST_SERIES]
    )


def _entry(entry: Entry, axis: Axis) -> str:
    interval = interval_text(entry.low, entry.high, axis)
    text = f"{entry.name} {number_text(entry.value, axis)}" + (f", {interval}" if interval else "")
    return f"{text}, invalid" if entry.invalid else text


def _heat_map(chart: HeatMap) -> str:
    cells = [
        (value, f"{row}, {chart.x.label} {column}")
        for row, values in zip(chart.rows, chart.values, strict=True)
        for column, value in zip(chart.columns, values, strict=True)
        if value is not None
    ]
    size = f"{len(chart.rows)} rows and {len(chart.columns)} columns"
    if not cells:
        return f"Heat map of {chart.value.label}, {size}, without values."
    (low, where_low), (high, where_high) = min(cells), max(cells)
    ends = f"from {number_text(low, chart.value)} ({where_low}) to {number_text(high, chart.value)} ({where_high})"
    return f"Heat map of {chart.value.label}, {size}: {ends}."


def _counts(name: str, chart: Histogram) -> str:
    counts = chart.counts[name]
    at = max(range(len(counts)), key=lambda i: counts[i], default=None)
    if at is None:
        return f"{name}: no values"
    return f"{name}: most, {number_text(counts[at], chart.y)}, from {chart.edges[at]:g} to {chart.edges[at + 1]:g}"

"""A chart as text, for readers who cannot see it: a description, and a table of its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bntt.charts.records import Axis, Bars, Chart, Entry, Forest, HeatMap, Histogram, Image, Line, Lines, Number
from bntt.charts.section import Cell, Table

MOST_SERIES = 12
MOST_VALUES = 12
"""Largest number of values of each series that a description lists."""


def number_text(value: Number, axis: Axis) -> str:
    """Format a value for tables and descriptions.

    >>> number_text(0.5455, Axis("accuracy", percent=True)), number_text(1234.5, Axis("spikes"))
    ('54.5%', '1,234')
    >>> number_text(None, Axis("spikes")), number_text(0.0004, Axis("firing rate", percent=True))
    ('–', '0.04%')
    """
    if value is None:
        return "–"
    if axis.percent:
        return f"{value:.1%}" if abs(value) >= 0.0005 or not value else f"{100 * value:.1g}%"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def interval_text(low: Number, high: Number, axis: Axis) -> str:
    """Describe an interval; "" where there is none.

    >>> interval_text(0.5, 0.6, Axis("accuracy", percent=True)), interval_text(None, 1.0, Axis("loss"))
    ('50.0% to 60.0%', '')
    """
    return "" if low is None or high is None else f"{number_text(low, axis)} to {number_text(high, axis)}"


def in_words(chart: Chart) -> str:
    """Describe a chart in words.

    It says where each line begins, ends and is highest, the values of bars and rows, and the ends of a colour scale.
    """
    match chart:
        case Lines():
            lines = " ".join(_line(line, chart) for line in chart.lines[:MOST_SERIES])
            lines += _more(len(chart.lines), "lines") + _levels(chart)
            return f"Line chart of {chart.y.label} against {chart.x.label}. {lines}"
        case Bars():
            bars = "; ".join(_bar(bar.name, bar.values, chart) for bar in chart.bars[:MOST_SERIES])
            return f"Bar chart of {chart.y.label}. {bars}.{_more(len(chart.bars), 'series')}"
        case Forest():
            rows = "; ".join(_entry(entry, chart.x) for entry in chart.entries[:MOST_SERIES])
            return f"Values of {chart.x.label}. {rows}.{_more(len(chart.entries), 'rows')}{_levels(chart)}"
        case HeatMap():
            return _heat_map(chart)
        case Histogram():
            series = "; ".join(_counts(name, chart) for name in list(chart.counts)[:MOST_SERIES])
            return f"Histogram of {chart.x.label}. {series}.{_more(len(chart.counts), 'series')}"
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


def _bar(name: str, values: Sequence[Number], chart: Bars) -> str:
    pairs = list(zip(chart.names, values, strict=True))[:MOST_VALUES]
    text = ", ".join(f"{label} {number_text(value, chart.y)}" for label, value in pairs)
    return f"{name}: {text}" + (f" and {len(values) - MOST_VALUES} more" if len(values) > MOST_VALUES else "")


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
    return f"{name}: highest {number_text(counts[at], chart.y)}, from {chart.edges[at]:g} to {chart.edges[at + 1]:g}"


MOST_ROWS = 100
"""Largest number of rows of a chart's table; of more, it shows an evenly spaced selection, and says so."""


def thinned(total: int, most: int) -> list[int]:
    """Select evenly spaced places among ``total``, including the first and the last.

    >>> thinned(5, 9), thinned(10, 4)
    ([0, 1, 2, 3, 4], [0, 3, 6, 9])
    """
    if total <= most:
        return list(range(total))
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]


def table_of(chart: Chart) -> Table:
    """Tabulate the numbers of a chart; an image has none."""
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
    at = [_numbered(line.x) for line in chart.lines]
    rows = [
        (
            Cell(f"{place[0]:g}", float(place[0])),
            *(_at(line, found.get(place), chart) for line, found in zip(chart.lines, at, strict=True)),
        )
        for place in sorted({place for found in at for place in found})
    ]
    return _table(chart, chart.y, [chart.x.label, *(line.name for line in chart.lines)], rows)


def _numbered(places: Sequence[float]) -> dict[tuple[float, int], int]:
    """Index the points of a line by place and number of earlier points there: points of a scatter can share a place.

    >>> _numbered([0.0, 2.0, 0.0])
    {(0.0, 0): 0, (2.0, 0): 1, (0.0, 1): 2}
    """
    found, seen = dict[tuple[float, int], int](), Counter[float]()
    for i, place in enumerate(places):
        found[place, seen[place]] = i
        seen[place] += 1
    return found


def _at(line: Line, place: int | None, chart: Lines) -> Cell:
    if place is None:
        return Cell("–")
    low, high = line.low[place : place + 1], line.high[place : place + 1]
    return _cell(line.y[place], chart.y, low, high, invalid=place in line.invalid)


def _cell(
    value: Number, axis: Axis, low: Sequence[Number] = (), high: Sequence[Number] = (), *, invalid: bool = False
) -> Cell:
    """Make a cell of a value, with its interval as a note; ``low`` and ``high`` hold one bound or none."""
    text = number_text(value, axis)
    interval = interval_text(low[0], high[0], axis) if low and high else ""
    return Cell(f"{text} INVALID", value, interval, "bad") if invalid else Cell(text, value, interval)

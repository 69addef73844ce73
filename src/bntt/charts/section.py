"""A section of results: words, tables and charts, independent of terminal and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bntt.charts.records import Chart

Mark = Literal["", "gap", "good", "bad", "open"]
"""Marks that distinguish a cell: by colour, and always by its words too."""


@dataclass(frozen=True)
class Cell:
    """A table's cell.

    >>> Cell("54.5%", 0.545, mark="good").text
    '54.5%'
    """

    text: str
    """Text that is shown."""
    value: float | None = None
    """Value that it is sorted by."""
    note: str = ""
    """Note below the text."""
    mark: Mark = ""
    """What distinguishes it: "gap", "good", "bad" or "open"."""
    link: str = ""
    """Link to a place on the page."""
    source: str = ""
    """Source of the text; a page gives it below, in parentheses."""


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    >>> Table("Pixels", ("part", "share"), ((Cell("above 0.5"), number(0.25)),)).columns
    ('part', 'share')
    """

    caption: str
    """Text above the table: what was run."""
    columns: tuple[str, ...]
    """Headings of the columns."""
    rows: tuple[tuple[Cell, ...], ...]
    """A cell for each column; the first names the row."""
    note: str = ""
    """Note below the table."""


@dataclass(frozen=True)
class Section:
    """One subject under a heading.

    >>> Section("Pixels", words=("a quarter is above 0.5",)).tables
    ()
    """

    title: str
    """Heading."""
    words: tuple[str, ...] = ()
    """Lines of text under it."""
    tables: tuple[Table, ...] = ()
    """Tables under the words."""
    charts: tuple[Chart, ...] = ()
    """Charts, drawn on the page and in files."""
    folded: tuple[Table, ...] = ()
    """Tables that a page folds until they are opened; a terminal shows them all."""
    gaps: tuple[str, ...] = ()
    """Descriptions of what is missing."""


def gap(text: str) -> Cell:
    """Make a cell that says that something is missing."""
    return Cell(text, mark="gap")


def share(value: float | None, digits: int = 1) -> Cell:
    """Format a share in percent."""
    return Cell("–") if value is None else Cell(f"{value:.{digits}%}", value)


def count(value: float | None) -> Cell:
    """Format a count."""
    if value is None:
        return Cell("–")
    return Cell(f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}", value)


def number(value: float | None, form: str = "#.3g") -> Cell:
    """Format a number with three digits, or as ``form`` says.

    Args:
        value: the number; None is shown as a dash.
        form: a Python format specification.

    Returns:
        A cell that is sorted by the number.

    >>> number(0.07).text, number(2336.0, "#.4g").text, number(0.1, ".3g").text
    ('0.0700', '2336', '0.1')
    """
    return Cell("–") if value is None else Cell(f"{value:{form}}".rstrip("."), value)


def interval(low: float | None, high: float | None) -> Cell:
    """Format the two ends of an interval of shares."""
    return Cell("–") if low is None or high is None else Cell(f"{low:.1%} to {high:.1%}", low)


def plural(number: int, what: str) -> str:
    """Return a count with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Format a time in the unit that suits it."""
    if seconds is None:
        return "a time not recorded"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

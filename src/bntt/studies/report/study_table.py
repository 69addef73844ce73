"""The table of a study: ours, how many starts, the interval, and below it the paper's number with its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bntt.analysis.accuracy.accuracy import FEW
from bntt.charts.section import Cell, Table, gap, plural
from bntt.studies.report.blocks import Section
from bntt.studies.report.reading import Values

Head = tuple[str, str, str]
"""Key, title and unit of a column."""
Rows = tuple[tuple[Cell, ...], ...]
WIDE = 6
"""Most quantities that stand side by side; of more, each has a row."""


def results_section(values: Values, folder: Path) -> Section:
    """Tabulate the numbers of a study; folded, every start's, and on what they were made.

    Raises:
        GapError: if a part of the table is missing, or of another kind.
    """
    table = values.inside("table")
    columns = [
        (one.text("key"), one.shown("title") or one.text("key"), one.shown("unit")) for one in table.rows("columns")
    ]
    rows = table.rows("rows")
    heads, body = _by_run(rows, columns) if len(columns) <= WIDE else _by_quantity(rows, columns)
    caption = "Ours: mean ± standard deviation over starts; below it how many, and the 95% interval of the mean"
    small = values.shown("setting") == "small"
    note = "Ours were run in a small setting; the paper's values are of the paper's settings." if small else ""
    cells = [row.inside("cells") for row in rows]
    starts = [one.inside(key).whole("n") for one in cells for key in one if key in one]
    words = (f"Preliminary: numbers of fewer than {FEW} starts.",) if min(starts, default=FEW) < FEW else ()
    folded = (_every_value(rows, columns), _made_on(rows))
    tables = (Table(caption, heads, body, note),)
    return Section("Results", words=words, tables=tables, folded=tuple(one for one in folded if one.rows))


def _by_run(rows: Sequence[Values], columns: Sequence[Head]) -> tuple[tuple[str, ...], Rows]:
    """Tabulate a run in each row."""
    body = tuple((_name(row), *(_number(row, key) for key, _, _ in columns)) for row in rows)
    return ("run", *(_head(title, unit) for _, title, unit in columns)), body


def _by_quantity(rows: Sequence[Values], columns: Sequence[Head]) -> tuple[tuple[str, ...], Rows]:
    """Tabulate a quantity in each row and a run in each column, where there are many quantities."""
    body = tuple((Cell(_head(title, unit)), *(_number(row, key) for row in rows)) for key, title, unit in columns)
    return ("quantity", *(_name(row).text for row in rows)), body


def _head(title: str, unit: str) -> str:
    return f"{title} ({unit})" if unit and unit not in title else title


def _name(row: Values) -> Cell:
    same = row.shown("same_as")
    return Cell(row.shown("label") or row.text("run"), note=f"by definition {same}" if same else "")


def _number(row: Values, key: str) -> Cell:
    """Show our number, and below it the paper's."""
    cells = row.inside("cells")
    cell = _ours(cells.inside(key)) if key in cells else gap("not run")
    told = row.inside("paper") if "paper" in row else None
    paper = told.inside(key) if told is not None and key in told else None
    if paper is None or "value" not in paper:
        return cell
    number = paper.maybe("value")
    said = f"paper: {paper.shown('value') if number is None else f'{number:g}'}"
    return replace(cell, note="; ".join(filter(None, (cell.note, said))), source=paper.shown("source", "not told"))


def _ours(cell: Values) -> Cell:
    """Show our number, in the unit of its column as all of the cell is."""
    mean, spread, starts = cell.number("mean"), cell.maybe("sd"), cell.whole("n")
    several = spread is not None and starts > 1
    text = cell.shown("text") or f"{mean:.4g}" + (f" ± {spread or 0.0:.2g}" if several else "")
    low, high = cell.maybe("low_95"), cell.maybe("high_95")
    between = f", {_plain(low)} to {_plain(high)}" if low is not None and high is not None and low < high else ""
    return Cell(text, mean, f"{plural(starts, 'start')}{between}")


def _plain(value: float) -> str:
    """Format a number without an exponent.

    >>> _plain(339300.4), _plain(87.871)
    ('339,300', '87.87')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _every_value(rows: Sequence[Values], columns: Sequence[Head]) -> Table:
    found = list[tuple[Cell, ...]]()
    for row in rows:
        cells = row.inside("cells")
        for key, title, _ in columns:
            if key in cells and "values" in cells.inside(key):
                held = cells.inside(key).numbers("values")
                shown = ", ".join("–" if v is None else f"{v:.6g}" for v in held[:100]) + ", …" * (len(held) > 100)
                found.append((_name(row), Cell(title), Cell(shown)))
    return Table("Every start's value", ("run", "measure", "values, in the order of the seeds"), tuple(found))


def _made_on(rows: Sequence[Values]) -> Table:
    found = list[tuple[Cell, ...]]()
    for row in rows:
        if "made_on" in row:
            further = row.texts("also_run") if "also_run" in row else ()
            also = f"also run, and in no number: {'; '.join(further)}" if further else ""
            found.append((_name(row), Cell("; ".join(row.texts("made_on")), note=also)))
    return Table("On what each row was made", ("run", "device, commit and precision"), tuple(found))

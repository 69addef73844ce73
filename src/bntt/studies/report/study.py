"""A study as a subject of the page, from its ``result.json`` and the figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bntt.analysis.accuracy.accuracy import FEW
from bntt.charts.records import Chart
from bntt.charts.section import Cell, Mark, Table, count, duration, gap, plural
from bntt.charts.stored import chart_from
from bntt.io.checkpoint import CheckpointError
from bntt.studies.report.blocks import Picture, Section, Subject
from bntt.studies.report.claims import VERDICTS, claims_of
from bntt.studies.report.reading import GapError, Values, address_of, clean, cleaned, read_json

RESULT = "result.json"
STATES: dict[str, Mark] = {"done": "", "failed": "bad"}
"""Marks of a start's states; any other state is a gap."""
SETTINGS = {"paper": "the paper's settings", "small": "a small setting, not comparable with the paper's numbers"}
STUDY_COLUMNS = ("study", "setting", "starts", "holds", "does not hold", "not decided", "not run")
"""Heads of the table of several studies."""
Head = tuple[str, str, str]
"""Key, title and unit of a column."""
Rows = tuple[tuple[Cell, ...], ...]
WIDE = 6
"""Most quantities that have a column each; if there are more, each has a row."""


def study_subject(folder: Path) -> Subject:
    """Read everything in a study's result.

    Raises:
        CheckpointError: if its ``result.json`` cannot be read, or is not a study's.
    """
    try:
        values = read_json(folder / RESULT)
        name = values.text("study")
    except GapError as error:
        raise CheckpointError(f"{folder}: {error}: run the study again") from None
    sections = tuple(_section_or_gap(title, part, values, folder) for title, part in PARTS.items())
    claims = [claim.verdict for section in sections for claim in section.claims]
    setting = values.shown("setting", "not recorded")
    title = values.shown("title", name)
    starts = _starts(values)
    return Subject(
        title,
        "study",
        values.shown("about"),
        tuple(_facts(values, setting)),
        sections,
        (
            Cell(title),
            Cell(setting),
            Cell(f"{starts[0]:,} of {starts[1]:,} done", starts[0]),
            *(count(claims.count(verdict)) for verdict in VERDICTS),
        ),
    )


def _section_or_gap(title: str, part: Callable[[Values, Path], Section], values: Values, folder: Path) -> Section:
    try:
        return part(values, folder)
    except (GapError, ValueError, OverflowError) as error:
        return Section(title, gaps=(str(error),))


def _starts(values: Values) -> tuple[int, int]:
    """Count the starts done, and those requested."""
    try:
        states = [start.shown("state") for run in values.rows("runs") for start in run.rows("starts")]
    except GapError:
        return 0, 0
    return states.count("done"), len(states)


def _facts(values: Values, setting: str) -> Iterator[tuple[str, str]]:
    yield "Setting", f"{setting}: {SETTINGS[setting]}" if setting in SETTINGS else setting
    if about := values.shown("setting_about"):
        yield "Size", about
    done, asked = _starts(values)
    yield "Starts", f"{done} of {asked} done"
    for name in ("Device", "Commit", "bntt", "Numerics", "Written"):
        yield name, values.shown(name.lower(), "not recorded")


def results_section(values: Values, folder: Path) -> Section:
    """Tabulate the numbers of a study; in folded tables those of every start, and the machines.

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
    folded = (_made_on(rows),)
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
    return replace(cell, note="; ".join(filter(None, (cell.note, said))), source=paper.shown("source", "not recorded"))


def _ours(cell: Values) -> Cell:
    """Show our number; the whole cell is in the unit of its column."""
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


def _made_on(rows: Sequence[Values]) -> Table:
    found = list[tuple[Cell, ...]]()
    for row in rows:
        if "made_on" in row:
            further = row.texts("also_run") if "also_run" in row else ()
            also = f"also run, and in no number: {'; '.join(further)}" if further else ""
            found.append((_name(row), Cell("; ".join(row.texts("made_on")), note=also)))
    return Table("On what each row was made", ("run", "device, commit and precision"), tuple(found))


MOST_FIGURES = 50


def _figures(values: Values, folder: Path) -> Section:
    charts, pictures, gaps = list[Chart](), list[Picture](), list[str]()
    every = values.rows("figures") if "figures" in values else []
    if len(every) > MOST_FIGURES:
        gaps.append(f"{len(every):,} figures, more than the {MOST_FIGURES} that are shown")
    for one in every[:MOST_FIGURES]:
        title = one.shown("title", "Figure")
        try:
            if "charts" in one:
                charts += _charts(title, one)
            else:
                address = address_of(folder, one.text("file"))
                pictures.append(Picture(title, address, one.shown("alt") or "No description was given."))
        except (GapError, ValueError) as error:
            gaps.append(str(error))
    return Section("Figures", charts=tuple(charts), pictures=tuple(pictures), gaps=tuple(gaps))


def _charts(title: str, figure: Values) -> list[Chart]:
    """Read the charts of a figure, each under the figure's title and its own."""
    found = [chart_from(cleaned(one.held)) for one in figure.rows("charts")]
    return [replace(chart, title=f"{title}: {chart.title}" if chart.title else title) for chart in found]


def _runs(values: Values, folder: Path) -> Section:
    rows = list[tuple[Cell, ...]]()
    for run in values.rows("runs"):
        name = run.shown("label") or run.text("name")
        rows += [(Cell(name), *_start(start)) for start in run.rows("starts") if start.shown("state") != "done"]
    columns = ("run", "seed", "state", "time", "device", "commit", "data", "directory")
    settings = tuple(_settings(run) for run in values.rows("runs"))
    missing = Table("Starts that are not done", columns, tuple(rows))
    recipes = Table("Recipes and what was changed in them", ("run", "recipe", "overrides"), settings)
    return Section("Runs", tables=(missing,) if rows else (), folded=(recipes,))


def _start(start: Values) -> tuple[Cell, ...]:
    state = start.shown("state", "not recorded")
    mark = STATES.get(state, "gap")
    seconds = start.maybe("seconds")
    return (
        Cell(start.shown("seed", "–"), start.maybe("seed")),
        Cell(state, note=start.shown("why"), mark=mark),
        Cell(duration(seconds), seconds) if seconds is not None else Cell("–"),
        Cell(start.shown("device", "–")),
        Cell(start.shown("commit", "–")),
        Cell(_checksums(start)),
        Cell(start.shown("directory", "–")),
    )


def _checksums(start: Values) -> str:
    """Join the first digits of every part's checksum."""
    held = start.held.get("data")
    if not isinstance(held, dict):
        return start.shown("data", "–")[:16]
    return clean(", ".join(f"{part} {str(digits)[:8]}" for part, digits in held.items()), 100) or "–"


def _settings(run: Values) -> tuple[Cell, ...]:
    held = run.held.get("overrides")
    shown = ", ".join(f"{k}={v}" for k, v in held.items()) if isinstance(held, dict) else ""
    shown = shown or (", ".join(run.texts("overrides")) if isinstance(held, list) else "")
    return (
        Cell(run.shown("label") or run.text("name")),
        Cell(run.shown("recipe", "–")),
        Cell(clean(shown, 500) or "none"),
    )


PARTS: dict[str, Callable[[Values, Path], Section]] = {
    "Results": results_section,
    "Claims": lambda values, folder: Section("Claims", claims=claims_of(values)),
    "Figures": _figures,
    "Runs": _runs,
}
"""Parts of the page, in order."""

"""A study as a subject of the page, from its ``result.json`` and the figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bntt.charts.records import Chart
from bntt.charts.section import Cell, Mark, Table, count, duration, gap, plural
from bntt.charts.stored import chart_from
from bntt.io.checkpoint import CheckpointError
from bntt.studies.report.blocks import Picture, Section, Subject
from bntt.studies.report.claims import VERDICTS, claims_of
from bntt.studies.report.reading import GapError, Values, address_of, clean, cleaned, read_json

RESULT = "result.json"
Head = tuple[str, str, str]
"""Key, title and unit of a column."""
Rows = tuple[tuple[Cell, ...], ...]
WIDE = 6
"""Most quantities that stand side by side; of more, each has a row."""
ENOUGH = 5
"""Starts needed for a number that is not marked preliminary."""
STATES: dict[str, Mark] = {"done": "", "failed": "bad"}
"""Marks of a start's states; any other state is a gap."""
SETTINGS = {"paper": "the paper's settings", "small": "a small setting, not comparable with the paper's numbers"}
STUDY_COLUMNS = ("study", "setting", "starts", "holds", "does not hold", "not decided", "not run")
"""Heads of the table of several studies."""


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
    setting = values.shown("setting", "not told")
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
    done, asked = _starts(values)
    yield "Starts", f"{done} of {asked} done"
    told = (
        ("Device", "device"),
        ("Commit", "commit"),
        ("bntt", "bntt"),
        ("Numerics", "numerics"),
        ("Written", "written"),
    )
    yield from ((name, values.shown(key, "not told")) for name, key in told)


def _table(values: Values, folder: Path) -> Section:
    table = values.inside("table")
    columns = [
        (one.text("key"), one.shown("title") or one.text("key"), one.shown("unit")) for one in table.rows("columns")
    ]
    rows = table.rows("rows")
    told = {key for row in rows for key in (row.inside("paper") if "paper" in row else ()) if _has_value(row, key)}
    heads, body = _by_run(rows, columns, told) if len(columns) <= WIDE else _by_quantity(rows, columns, told)
    few = any(one.note.startswith("preliminary") for row in body for one in row)
    setting = values.shown("setting")
    caption = "Ours: mean ± standard deviation over starts; below it how many, and the 95% interval of the mean"
    note = (
        "Ours were run in a small setting; the paper's values are of the paper's settings."
        if setting == "small"
        else ""
    )
    words = (f"Preliminary: numbers of fewer than {ENOUGH} starts are marked.",) if few else ()
    values_of = _values(rows, columns)
    return Section(
        "Results",
        words=words,
        tables=(Table(caption, heads, body, note),),
        folded=(values_of,) if values_of.rows else (),
    )


def _has_value(row: Values, key: str) -> bool:
    return row.inside("paper").inside(key).held.get("value") is not None


def _head(title: str, unit: str) -> str:
    return f"{title} ({unit})" if unit and unit not in title else title


def _by_run(rows: Sequence[Values], columns: Sequence[Head], told: set[str]) -> tuple[tuple[str, ...], Rows]:
    """Tabulate a run in each row; the paper's columns where it has a number for one of them."""
    heads = ["run"]
    for key, title, unit in columns:
        heads += [_head(title, unit), *([f"paper: {title}"] if key in told else [])]
    body = []
    for row in rows:
        cells = [_name_of(row)]
        for key, _, unit in columns:
            cells += [_ours_in(row, key, unit), *([_paper_in(row, key)] if key in told else [])]
        body.append(tuple(cells))
    return tuple(heads), tuple(body)


def _by_quantity(rows: Sequence[Values], columns: Sequence[Head], told: set[str]) -> tuple[tuple[str, ...], Rows]:
    """Tabulate a quantity in each row and a run in each column, where there are many quantities."""
    body = list[tuple[Cell, ...]]()
    for key, title, unit in columns:
        body.append((Cell(_head(title, unit)), *(_ours_in(row, key, unit) for row in rows)))
        if key in told:
            body.append((Cell(f"paper: {title}"), *(_paper_in(row, key) for row in rows)))
    return ("quantity", *(row.shown("label") or row.text("run") for row in rows)), tuple(body)


def _name_of(row: Values) -> Cell:
    same, made = row.shown("same_as"), row.texts("made_on") if "made_on" in row else ()
    note = "; ".join([*([f"by definition {same}"] if same else []), *made])
    return Cell(row.shown("label") or row.text("run"), note=note)


def _ours_in(row: Values, key: str, unit: str) -> Cell:
    cells = row.inside("cells")
    return _ours(cells.inside(key), unit) if key in cells else gap("not run")


def _paper_in(row: Values, key: str) -> Cell:
    return _published(row.inside("paper") if "paper" in row else Values({}, row.where), key)


def _ours(cell: Values, unit: str) -> Cell:
    mean, spread, starts = cell.number("mean"), cell.maybe("sd"), cell.whole("n")
    by = _scale(cell, mean, unit)
    several = spread is not None and starts > 1
    text = cell.shown("text") or f"{by * mean:.4g}" + (f" ± {by * (spread or 0.0):.2g}" if several else "")
    low, high = cell.maybe("low_95"), cell.maybe("high_95")
    between = f", {by * low:.4g} to {by * high:.4g}" if low is not None and high is not None else ""
    few = "preliminary, " if starts < ENOUGH else ""
    return Cell(text, mean, f"{few}{plural(starts, 'start')}{between}")


def _scale(cell: Values, mean: float, unit: str) -> float:
    """Return 100 for a share shown in percent, by its text or its unit."""
    text = cell.shown("text")
    return 100.0 if abs(mean) <= 1 and ("%" in text or (unit == "%" and text[:2] == f"{100 * mean:.1f}"[:2])) else 1.0


def _published(paper: Values, key: str) -> Cell:
    if key not in paper:
        return gap("not available")
    told = paper.inside(key)
    value = told.maybe("value")
    if value is None:
        return Cell(told.shown("value")) if told.shown("value") else gap(told.shown("missing", "not available"))
    return Cell(f"{value:g}", value, source=told.shown("source", "source not told"))


def _values(rows: Sequence[Values], columns: Sequence[tuple[str, str, str]]) -> Table:
    found = list[tuple[Cell, ...]]()
    for row in rows:
        cells = row.inside("cells")
        for key, title, _ in columns:
            if key in cells and "values" in cells.inside(key):
                held = cells.inside(key).numbers("values")
                shown = ", ".join("–" if v is None else f"{v:.6g}" for v in held[:100])
                found.append((Cell(row.shown("label") or row.text("run")), Cell(title), Cell(shown)))
    return Table("Every start's value", ("run", "measure", "values, in the order of the seeds"), tuple(found))


def _figures(values: Values, folder: Path) -> Section:
    charts, pictures, gaps = list[Chart](), list[Picture](), list[str]()
    for one in values.rows("figures")[:50] if "figures" in values else []:
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


def _claims(values: Values, folder: Path) -> Section:
    return Section("Claims", claims=claims_of(values))


def _runs(values: Values, folder: Path) -> Section:
    rows = list[tuple[Cell, ...]]()
    for run in values.rows("runs"):
        name = run.shown("label") or run.text("name")
        for start in run.rows("starts"):
            rows.append((Cell(name), *_start(start, values)))
    columns = ("run", "seed", "state", "time", "device", "commit", "data", "directory")
    settings = tuple(_settings(run) for run in values.rows("runs"))
    return Section(
        "Runs",
        folded=(
            Table("Every start, with what it ran on", columns, tuple(rows)),
            Table("Recipes and what was changed in them", ("run", "recipe", "overrides"), settings),
        ),
    )


def _start(start: Values, values: Values) -> tuple[Cell, ...]:
    state = start.shown("state", "not told")
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
    "Results": _table,
    "Claims": _claims,
    "Figures": _figures,
    "Runs": _runs,
}
"""Parts of the page, in order."""

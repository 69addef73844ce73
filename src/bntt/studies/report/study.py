"""A study as a subject of the page, from its ``result.json`` and the figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from bntt.charts.records import Chart
from bntt.charts.section import Cell, Mark, Table, count, duration
from bntt.charts.stored import chart_from
from bntt.io.checkpoint import CheckpointError
from bntt.studies.report.blocks import Picture, Section, Subject
from bntt.studies.report.claims import VERDICTS, claims_of
from bntt.studies.report.reading import GapError, Values, address_of, clean, cleaned, read_json
from bntt.studies.report.study_table import results_section

RESULT = "result.json"
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
    if about := values.shown("setting_about"):
        yield "Size", about
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
    "Results": results_section,
    "Claims": _claims,
    "Figures": _figures,
    "Runs": _runs,
}
"""Parts of the page, in order."""

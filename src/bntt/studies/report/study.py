"""A study as a subject of the page, from its ``result.json``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bntt.analysis.accuracy.accuracy import FEW
from bntt.charts.records import Chart
from bntt.charts.section import Cell, Section, Table, count, duration, gap, plural
from bntt.io.checkpoint import CheckpointError
from bntt.studies.claims.claim import three_digits
from bntt.studies.report.claims import VERDICTS
from bntt.studies.report.subject import Subject, read
from bntt.studies.study_record import FigureRecord, RowRecord, RunRecord, StartRecord, StudyRecord

RESULT = "result.json"
SETTINGS = {"paper": "the paper's settings", "small": "a small setting, not comparable with the paper's numbers"}
STUDY_COLUMNS = ("study", "setting", "starts", *VERDICTS)
"""Heads of the table of several studies."""
WIDE = 6
"""Most quantities that have a column each; if there are more, each has a row."""


def study_subject(folder: Path) -> Subject:
    """Read a study's result; one that cannot be read is a :class:`CheckpointError`."""
    try:
        study = read(folder / RESULT, StudyRecord.model_validate)
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}: run the study again") from None
    states = [start.state for run in study.runs for start in run.starts]
    verdicts = [claim.verdict for claim in study.claims]
    done = f"{states.count('done'):,} of {len(states):,} done"
    setting = f"{study.setting}: {SETTINGS[study.setting]}" if study.setting in SETTINGS else study.setting
    facts = {
        "Setting": setting, "Size": study.setting_about, "Starts": done, "Device": study.device,
        "Commit": study.commit or "not recorded", "bntt": study.bntt, "Numerics": str(study.numerics),
        "Written": study.written,
    }  # fmt: skip
    figures = tuple(chart for figure in study.figures for chart in _charts(figure))
    return Subject(
        study.title,
        "study",
        study.about,
        tuple((name, text) for name, text in facts.items() if text),
        (_results(study), *([Section("Figures", charts=figures)] if figures else []), _runs(study)),
        (
            Cell(study.title),
            Cell(study.setting),
            Cell(done, states.count("done")),
            *(count(verdicts.count(one)) for one in VERDICTS),
        ),
        claims=study.claims,
    )


def _results(study: StudyRecord) -> Section:
    """Tabulate the numbers of a study: a run in each row, or a quantity where there are many."""
    table, columns = study.table, study.table.columns
    heads: tuple[str, ...] = ("run", *(column.head for column in columns))
    body = [(_name(row), *(_number(row, column.key) for column in columns)) for row in table.rows]
    if len(columns) > WIDE and body:
        cells = zip(*body, strict=True)
        heads = ("quantity", *(cell.text for cell in next(cells)))
        body = [(Cell(column.head), *row) for column, row in zip(columns, cells, strict=True)]
    caption = "Ours: mean ± standard deviation over starts; below it how many, and the 95% interval of the mean"
    sources: dict[str, list[str]] = {}
    for row in table.rows:
        for paper in (row.paper[column.key] for column in columns if column.key in row.paper):
            if paper.value is not None:
                sources.setdefault(paper.source, []).append(f"{paper.value:g} of {row.label or row.run}")
    seen = "; ".join(f"{source} ({', '.join(values)})" for source, values in sources.items())
    small = study.setting == "small"
    note = "Ours were run in a small setting; the paper's values are of the paper's settings. " if small else ""
    note += f"Sources of the paper's values: {seen}." if seen else ""
    starts = [cell.n for row in table.rows for cell in row.cells.values() if cell]
    words = (f"Preliminary: numbers of fewer than {FEW} starts.",) if min(starts, default=FEW) < FEW else ()
    return Section("Results", words, (Table(caption, heads, tuple(body), note.strip()),))


def _name(row: RowRecord) -> Cell:
    return Cell(row.label or row.run, note=f"by definition {row.same_as}" if row.same_as else "")


def _number(row: RowRecord, key: str) -> Cell:
    """Show our number, and below it the paper's."""
    ours, paper = row.cells.get(key), row.paper.get(key)
    cell = gap("not run")
    if ours is not None:
        low, high, note = ours.low_95, ours.high_95, plural(ours.n, "start")
        if low is not None and high is not None and low < high:
            note += f", {three_digits(low)} to {three_digits(high)}"
        cell = Cell(ours.text, ours.mean, note)
    if paper is None or paper.value is None:
        return cell
    return replace(cell, note="; ".join(filter(None, (cell.note, f"paper: {paper.value:g}"))))


def _charts(figure: FigureRecord) -> list[Chart]:
    """Put the figure's title before that of each of its charts."""
    titles = [f"{figure.title}: {chart.title}" if chart.title else figure.title for chart in figure.charts]
    return [replace(chart, title=title) for chart, title in zip(figure.charts, titles, strict=True)]


def _runs(study: StudyRecord) -> Section:
    """Tabulate the starts that are not done and, folded, recipes and machines."""
    rows = [
        (Cell(run.label or run.name), *_start(start))
        for run in study.runs
        for start in run.starts
        if start.state != "done"
    ]
    columns = ("run", "seed", "state", "time", "device", "commit", "data", "directory")
    missing = (Table("Starts that are not done", columns, tuple(rows)),) if rows else ()
    made = {row.run: row for row in study.table.rows}
    every = [key for run in study.runs[:1] for key in run.overrides if all(key in one.overrides for one in study.runs)]
    settings = tuple(_made(run, every, made.get(run.name)) for run in study.runs)
    heads = ("run", "recipe", "changed in it", "made on")
    note = f"Changed in every recipe: {', '.join(every)}." if every else ""
    recipes = Table("Recipes, and on what they were run", heads, settings, note)
    return Section("Runs", tables=missing, folded=(recipes,))


def _start(start: StartRecord) -> tuple[Cell, ...]:
    checksums = ", ".join(f"{part} {digits[:8]}" for part, digits in (start.data or {}).items())
    return (
        Cell(str(start.seed), start.seed),
        Cell(start.state, note=start.why, mark="bad" if start.state == "failed" else "gap"),
        Cell("–" if start.seconds is None else duration(start.seconds)),
        *(Cell(text or "–") for text in (start.device, start.commit, checksums, start.directory)),
    )


def _made(run: RunRecord, every: list[str], row: RowRecord | None) -> tuple[Cell, ...]:
    also = f"also run, and in no number: {'; '.join(row.also_run)}" if row and row.also_run else ""
    return (
        Cell(run.label or run.name),
        Cell(run.recipe),
        Cell(", ".join(key for key in run.overrides if key not in every) or "–"),
        Cell("; ".join(row.made_on if row else ()) or "–", note=also),
    )

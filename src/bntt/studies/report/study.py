"""A study as a subject of the page, from its ``result.json``; the claims of all studies, in the paper's order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bntt.analysis.accuracy import FEW
from bntt.charts.section import Cell, Mark, Section, Table, count, duration, gap, plural
from bntt.io.checkpoint import CheckpointError
from bntt.studies.claims import Answer, ClaimRecord, EffectRecord, three_digits, with_interval
from bntt.studies.report.run import Subject, read
from bntt.studies.study_record import RowRecord, RunRecord, StartRecord, StudyRecord

PAPER = (
    "Kim and Panda (2021): Revisiting Batch Normalization for Training Low-Latency Deep Spiking Neural Networks From "
    "Scratch"
)
"""Paper whose claims the studies test."""
PARTS: dict[str, tuple[str, ...]] = {
    "Few steps, few spikes (Figure 1)": ("Figure 1",),
    "Neurons and gradients (Section 3.1, Figure 2)": ("Section 3.1", "Figure 2"),
    "A norm for each step (Section 3.2)": ("Section 3.2",),
    "Statistics of each step (Figure 3)": ("Figure 3",),
    "A threshold that varies with time (Section 3.3)": ("Section 3.3",),
    "γ and spikes over time (Figures 4 and 6)": ("Figure 4", "Figure 6"),
    "Accuracy (Table 1)": ("Table 1",),
    "Recordings of events (Table 2)": ("Table 2",),
    "Sequences (Table 3)": ("Table 3",),
    "Spikes of each layer (Figure 5)": ("Figure 5",),
    "Early exit (Section 3.4, Figure 7)": ("Section 3.4", "Figure 7"),
    "Noise and attacks (Figure 8)": ("Figure 8", "Section 4"),
    "Other norms (Tables 4 and 5)": ("Table 4", "Table 5"),
    "Energy (Supplement E)": ("Supplement",),
    "Stable training (Abstract)": ("Abstract",),
    "Elsewhere": (),
}
"""Parts of the paper, in its order, and the places that belong to each."""


VERDICTS: dict[Answer, tuple[str, Mark, str, str]] = {
    "holds": ("✓", "good", "holds", "hold"),
    "does not hold": ("✗", "bad", "does not hold", "do not hold"),
    "not decided": ("?", "open", "is not decided", "are not decided"),
    "not run": ("–", "gap", "was not run", "were not run"),
}
"""How each verdict is shown: by a sign, by a colour, and in a count of one claim or of several."""
Studies = dict[str, str]  # titles by their anchors on the page
Parts = dict[str, list[tuple[int, ClaimRecord, Studies]]]
"""By part of the paper: claims with their numbers on the page and the studies that test them."""

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
    done = Cell(f"{states.count('done'):,} of {len(states):,} done", states.count("done"))
    setting = f"{study.setting}: {SETTINGS[study.setting]}" if study.setting in SETTINGS else study.setting
    facts = {
        "Setting": setting, "Size": study.setting_about, "Starts": done.text, "Device": study.device,
        "Commit": study.commit or "not recorded", "bntt": study.bntt, "Numerics": str(study.numerics),
        "Written": study.written,
    }  # fmt: skip
    figures = tuple(
        replace(chart, title=f"{figure.title}: {chart.title}" if chart.title else figure.title)
        for figure in study.figures
        for chart in figure.charts
    )
    return Subject(
        study.title,
        "study",
        study.about,
        tuple((name, text) for name, text in facts.items() if text),
        (_results(study), *([Section("Figures", charts=figures)] if figures else []), _runs(study)),
        (Cell(study.title), Cell(study.setting), done, *(count(verdicts.count(one)) for one in VERDICTS)),
        claims=study.claims,
    )


def _results(study: StudyRecord) -> Section:
    """Tabulate the numbers of a study: a run in each row, or a quantity where there are many."""
    table, columns = study.table, study.table.columns
    heads: tuple[str, ...] = ("run", *(column.head for column in columns))
    body = list[tuple[Cell, ...]]()
    for row in table.rows:
        name = Cell(row.label or row.run, note=f"by definition {row.same_as}" if row.same_as else "")
        body.append((name, *(_number(row, column.key) for column in columns)))
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
    note = "Ours were run in a small setting; the paper's values are of the paper's settings. "
    note = note * (study.setting == "small") + f"Sources of the paper's values: {seen}." * bool(seen)
    starts = [cell.n for row in table.rows for cell in row.cells.values() if cell]
    words = (f"Preliminary: numbers of fewer than {FEW} starts.",) if min(starts, default=FEW) < FEW else ()
    return Section("Results", words, (Table(caption, heads, tuple(body), note.strip()),))


def _number(row: RowRecord, key: str) -> Cell:
    """Show our number, and below it the paper's."""
    ours, paper = row.cells.get(key), row.paper.get(key)
    cell = gap("not run")
    if ours is not None:
        low, high, note = ours.low_95, ours.high_95, plural(ours.n, "start")
        if low is not None and high is not None and low < high:
            note += f", {three_digits(low)} to {three_digits(high)}"
        cell = Cell(ours.text, ours.mean, note)
    if paper is not None and paper.value is not None:
        cell = replace(cell, note=f"{cell.note}; paper: {paper.value:g}".removeprefix("; "))
    return cell


def _runs(study: StudyRecord) -> Section:
    """Tabulate the starts that are not done and, folded, recipes and machines."""
    rows = tuple(_start(run, start) for run in study.runs for start in run.starts if start.state != "done")
    columns = ("run", "seed", "state", "time", "device", "commit", "data", "directory")
    missing = (Table("Starts that are not done", columns, rows),) if rows else ()
    made = {row.run: row for row in study.table.rows}
    every = [key for run in study.runs[:1] for key in run.overrides if all(key in one.overrides for one in study.runs)]
    settings = tuple(_made(run, every, made.get(run.name)) for run in study.runs)
    heads = ("run", "recipe", "changed in it", "made on")
    note = f"Changed in every recipe: {', '.join(every)}." if every else ""
    recipes = Table("Recipes, and on what they were run", heads, settings, note)
    return Section("Runs", tables=missing, folded=(recipes,))


def _start(run: RunRecord, start: StartRecord) -> tuple[Cell, ...]:
    checksums = ", ".join(f"{part} {digits[:8]}" for part, digits in (start.data or {}).items())
    return (
        Cell(run.label or run.name),
        Cell(str(start.seed), start.seed),
        Cell(start.state, note=start.why, mark="bad" if start.state == "failed" else "gap"),
        Cell("–" if start.seconds is None else duration(start.seconds)),
        *(Cell(text or "–") for text in (start.device, start.commit, checksums, start.directory)),
    )


def _made(run: RunRecord, every: list[str], row: RowRecord | None) -> tuple[Cell, ...]:
    return (
        Cell(run.label or run.name),
        Cell(run.recipe),
        Cell(", ".join(key for key in run.overrides if key not in every) or "–"),
        Cell("; ".join(row.made_on if row else ()) or "–"),
    )


class Story(NamedTuple):
    """Claims of all studies of a page."""

    lead: str
    claims: Parts
    questions: Parts


def story_of(studies: Sequence[tuple[str, str, Sequence[ClaimRecord]]]) -> Story:
    """Order the claims of studies, given by anchor, title and claims; what several test by the same numbers is once."""
    once = dict[ClaimRecord, tuple[ClaimRecord, Studies]]()
    for anchor, title, claims in studies:
        for claim in claims:
            once.setdefault(claim.model_copy(update={"rule": ""}), (claim, {}))[1][anchor] = title
    quoted = [one for one in once.values() if one[0].quotation]
    own = [one for one in once.values() if not one[0].quotation]
    lead = []
    if quoted:
        sentences = plural(len({claim.quotation for claim, _ in quoted}), "sentence")
        lead.append(f"{sentences} of the paper in {plural(len(quoted), 'row')}: {_counted(quoted)}.")
    if own:
        lead.append(f"{plural(len(own), 'question')} of our own: {_counted(own)}.")
    return Story(" ".join(lead), _parts(quoted, 1), _parts(own, 1 + len(quoted)))


def _parts(found: Sequence[tuple[ClaimRecord, Studies]], first: int) -> Parts:
    ranked = sorted(found, key=lambda one: (list(VERDICTS).index(one[0].verdict), one[0].few))
    ordered = sorted(ranked, key=lambda one: list(PARTS).index(part_of(one[0].source)))
    parts: Parts = {}
    for number, (claim, studies) in enumerate(ordered, first):
        parts.setdefault(part_of(claim.source), []).append((number, claim, studies))
    return parts


def part_of(source: str) -> str:
    """Return the part of the paper that a source names: the last one, and the abstract only if there is no other."""
    named = re.findall(r"(Figure|Table|Section)s? (\d(?:\.\d)?)|(Supplement|Abstract)", source)
    places = [f"{kind} {number}" if kind else word for kind, number, word in named]
    places.sort(key=lambda place: place == "Abstract", reverse=True)
    part = {place: title for title, belonging in PARTS.items() for place in belonging}
    return next((part[place] for place in reversed(places) if place in part), "Elsewhere")


def _counted(found: Sequence[tuple[ClaimRecord, Studies]]) -> str:
    """Count claims by their verdicts in words: those that are tested, those that are only shown, those not run."""
    claims, said = [claim for claim, _ in found], []
    for title, few in (("tested by five starts or more, ", False), ("shown by fewer, ", True), ("", None)):
        group = [one.verdict for one in claims if (None if one.verdict == "not run" else one.few) is few]
        counts = [f"{n} {words[2 + (n > 1)]}" for name, words in VERDICTS.items() if (n := group.count(name))]
        said += [title + ", ".join(counts)] * bool(counts)
    return "; ".join(said)


class Strip(NamedTuple):
    """One number behind a verdict: a mark on its interval, drawn one line high, on a scale with others of its kind."""

    effect: EffectRecord
    scale: tuple[float, float]
    said: str

    def at(self, value: float) -> float:
        """Return the place of a value, from 6 to 174."""
        low, high = self.scale
        return round(6 + 168 * min(1.0, max(0.0, (value - low) / (high - low))), 1)


def strips_of(claim: ClaimRecord) -> Iterator[tuple[str, list[Strip]]]:
    """Yield each quantity behind a verdict with its numbers, on one scale."""
    for of in dict.fromkeys(effect.of for effect in claim.effects):
        effects = [effect for effect in claim.effects if effect.of == of]
        seen = [v for one in effects for v in (one.mean, one.low, one.high, *one.bounds) if v is not None]
        scale = (min(seen), max(seen)) if min(seen) < max(seen) else (seen[0] - 0.5, seen[0] + 0.5)
        signed, strips = any(" − " in effect.name for effect in effects), list[Strip]()
        for one in effects:
            ends = None if one.low is None or one.high is None else (one.low, one.high)
            strips.append(Strip(one, scale, with_interval(one.mean, ends, signed=signed)))
        yield of, strips

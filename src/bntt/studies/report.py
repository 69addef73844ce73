"""The report: runs and studies as one self-contained HTML page, from their result files alone.

Each file of a run is shown as the section that its record defines, each study from its ``result.json``.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field, TypeAdapter, ValidationError

from bntt.analysis.accuracy import FEW, EvaluationResult
from bntt.analysis.measurement import ArgumentError, Measurement
from bntt.analysis.result import Number, Record, first_fault, result_from
from bntt.charts.files import looks_of, on_shared_scales
from bntt.charts.section import Cell, Mark, Section, Table, count, duration, gap, interval, plural, share
from bntt.charts.svg import Pictures
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import flatten, parse_json, tables_of, write_whole
from bntt.runs.measurements import MEASUREMENTS
from bntt.runs.recipe.schema import RecipeError
from bntt.runs.training.curves import best_epoch, training_curves
from bntt.studies.claims import Answer, three_digits
from bntt.studies.study_record import RowRecord, RunRecord, StartRecord, StudyRecord
from bntt.version import __version__

T = TypeVar("T")
PARSERS: dict[str, Callable[[str], Any]] = {
    ".toml": tables_of,
    ".json": parse_json,
    ".jsonl": lambda text: [parse_json(line) for line in text.splitlines()],
}
OBJECT = TypeAdapter(dict[str, Any]).validate_python
INVISIBLE = ((0, 9), (11, 13), (14, 32), (127, 160), (0x202A, 0x202F), (0x2066, 0x206A), (0xD800, 0xE000))
HIDDEN = {letter: "�" for ends in INVISIBLE for letter in range(*ends)}
"""Characters that are invisible, change the writing direction of their neighbours, or have no place in UTF-8."""

RUN_COLUMNS = ("run", "data", "network", "norm", "steps", "start", "test accuracy", "95% interval", "spikes per image")
"""Heads of the table of several runs."""
MEASUREMENT_COLUMNS = ("directory", "measured")
"""Heads of the table of measurements alone."""
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """Run, study, or measurements without a training of their own."""

    title: str
    kind: Literal["run", "study", "measurements"]
    lead: str
    """Sentence or two that describe it."""
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    compared: tuple[Cell, ...]
    """Row in the table that compares several of its kind."""
    gaps: tuple[str, ...] = ()


def read(path: Path, validate: Callable[..., T]) -> T:
    """Read a JSON, JSONL or TOML file as pydantic validates it; a ValueError names the file and its first fault."""
    try:
        if not path.is_file():
            raise ValueError("missing")
        return validate(visible(PARSERS[path.suffix](path.read_text(encoding="utf-8"))))
    except ValidationError as error:
        raise ValueError(f"{path.name}: {first_fault(error)}") from None
    except (OSError, ValueError, RecursionError, ArgumentError) as error:
        raise ValueError(f"{path.name}: {getattr(error, 'strerror', None) or error}") from None


def visible(values: Any) -> Any:
    """Replace hidden characters in every text of a value."""
    if isinstance(values, str):
        return values.translate(HIDDEN)
    if isinstance(values, dict):
        return {key.translate(HIDDEN): visible(value) for key, value in values.items()}
    return [visible(value) for value in values] if isinstance(values, list) else values


class Epoch(Record):
    """A line of ``metrics.jsonl``, of any version, with what curves need of an :class:`EpochResult`."""

    epoch: int
    train_loss: Number = None
    validation_loss: Number = None
    train_accuracy: Number = None
    validation_accuracy: Number = None
    lr: Number = None
    seconds: Number = None
    best: bool | None = None
    firing_rate: dict[str, Number] | None = None
    gamma: dict[str, Number] | None = None


EPOCHS = TypeAdapter(list[Epoch]).validate_python


class Provenance(Record):
    """What the file of any measurement says of its origin."""

    measured_with: dict[str, dict[str, Any]] = Field(default={})
    measured_on: dict[str, str] = Field(default={})
    epoch: int | None = None


def measured(folder: Path) -> dict[str, list[Path]]:
    """Find the files of every measurement in a directory, the usual split first."""
    found: dict[str, list[Path]] = {}
    paths = [path for path in folder.glob("*.json") if not path.stem.startswith("environment")]
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem)):
        for name, one in MEASUREMENTS.items():
            if f"{path.stem}-".startswith(f"{one.file or name}-"):
                found.setdefault(name, []).append(path)
    return found


def sections_of(folder: Path) -> tuple[Section, ...]:
    """Make the sections of all measurements in a directory; an unreadable file is a gap."""
    found = measured(folder)
    return tuple(_section(one, path) for kind, one in MEASUREMENTS.items() for path in found.get(kind, ()))


def _section(measurement: Measurement, path: Path) -> Section:
    beyond = path.stem.removeprefix(measurement.file or measurement.name).strip("-")
    for variant in measurement.variants:  # its record has a title of its own
        beyond = beyond.removeprefix(variant).strip("-")
    try:
        values = read(path, OBJECT)
        section = result_from(measurement.record_in(path.stem), values).section()
        section = replace(section, gaps=(*section.gaps, *(f"{path.name}: {other}" for other in _others(path, values))))
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        why = str(error) if isinstance(error, ValueError) else "its numbers do not fit together"
        named = why if why.startswith(f"{path.name}: ") else f"{path.name}: {why}"
        section = Section(measurement.name.capitalize(), gaps=(named,))
    return replace(section, title=f"{section.title} ({beyond.replace('-', ' ')})") if beyond else section


def _others(path: Path, values: Values) -> list[str]:
    """Say that numbers are of another run, or of other options or weights than its evaluation."""
    file = result_from(Provenance, values)
    if file.measured_with:
        changed = sorted(f"{key}={value}" for options in file.measured_with.values() for key, value in options.items())
        return [f"measured with {', '.join(changed)}, not as trained"]
    if not path.with_name("recipe.toml").exists():
        return []
    if file.measured_on and path.resolve().parent.name not in file.measured_on:
        return [f"measured on {', '.join(file.measured_on)}, and not on this run"]
    with suppress(ValueError):
        now, then = read(path.with_name("evaluation.json"), Provenance.model_validate).epoch, file.epoch
        if now is not None and then is not None and now != then:
            return [f"measured with the weights of epoch {then + 1}, evaluation.json with those of {now + 1}"]
    return []


def training(epochs: list[Epoch]) -> Section:
    """Chart loss, accuracies, learning rate, and of every layer the mean firing rate and mean |γ|, over epochs."""
    if not epochs:
        return Section("Training", gaps=("metrics.jsonl: no epoch was finished",))
    rows = [epoch.model_dump() for epoch in epochs]
    word = "No validation accuracy of all time steps was measured."
    if best := best_epoch(rows):
        word = f"Best validation accuracy {best[1]:.1%}, at epoch {best[0]} of {len(rows)}."
    return Section("Training", words=(word,), charts=tuple(training_curves(rows)) if len(rows) > 1 else ())


def run_subject(folder: Path, title: str = "") -> Subject:
    """Read all results in a run directory; what is missing or invalid is a gap. Its title is its name by default."""
    title, sections, gaps = title or folder.resolve().name, list(sections_of(folder)), list[str]()
    epochs, tables = list[Epoch](), list[dict[str, Any]]()
    if (folder / "metrics.jsonl").exists():
        try:
            epochs = read(folder / "metrics.jsonl", EPOCHS)
            trained = training(epochs)
        except ValueError as error:
            trained = Section("Training", gaps=(str(error),))
        sections.insert(1 if "evaluate" in measured(folder) else 0, trained)
    if not (folder / "recipe.toml").exists():
        lead = "Measurements without a training of their own: no recipe lies beside them."
        row = (Cell(title), Cell(", ".join(section.title for section in sections)))
        return Subject(title, "measurements", lead, (), tuple(sections), row)
    for name in ("recipe.toml", "environment.json"):
        try:
            tables.append(flatten(read(folder / name, OBJECT)))
        except ValueError as error:
            tables.append({})
            gaps.append(str(error))
    recipe, made_on = tables
    evaluation: EvaluationResult | None = None
    with suppress(ValueError):  # its section states the gap
        evaluation = read(folder / "evaluation.json", EvaluationResult.model_validate)
    notes = (str(recipe["notes"]),) if recipe.get("notes") else ()
    settings = tuple((Cell(name), Cell(str(value))) for name, value in recipe.items() if name != "notes")
    table = Table("The recipe, with what was left to the defaults", ("setting", "value"), settings)
    sections.append(Section("Recipe", notes, folded=(table,)))
    every = _facts(recipe, made_on, epochs[-1].seconds if epochs else None)
    facts = tuple((name, text) for name, text in every.items() if text)
    lead, compared = _lead(title, recipe, made_on, evaluation)
    return Subject(title, "run", lead, facts, tuple(sections), compared, tuple(gaps))


def _lead(title: str, recipe: Values, made_on: Values, found: EvaluationResult | None) -> tuple[str, tuple[Cell, ...]]:
    """Say what was trained and how accurate it is: in a sentence, and in a row of the table of several runs."""
    data = recipe.get("data.label") or recipe.get("data.name") or made_on.get("data.name") or "data not recorded"
    network, norm = recipe.get("network.name") or "own network", recipe.get("network.norm") or "of its own"
    steps, seed = recipe.get("network.num_steps", "?"), recipe.get("seed", "?")
    row = [*(Cell(str(text)) for text in (title, data, network, norm, steps)), Cell(f"seed {seed}")]
    lead = f"{network} with norm {norm}, {steps} time steps, on {data}: one start"
    if found is None:
        return f"{lead}, not evaluated.", (*row, gap("not evaluated"), Cell("–"), Cell("–"))
    between, images = interval(*found.accuracy_wilson_95), plural(found.images, "image")
    accuracy = f"{found.split.capitalize()} accuracy of {images}: {found.accuracy:.1%}"
    row += [share(found.accuracy), between, count(found.spikes_per_image)]
    return f"{lead}. {accuracy} (95% interval {between.text}).", tuple(row)


def _facts(recipe: Values, made_on: Values, seconds: Number) -> dict[str, Any]:
    """Name what a run was made on; empty what is not recorded."""
    device = [made_on.get("device"), made_on.get("gpu") or made_on.get("processor")]
    device += [plural(threads, "thread") if isinstance(threads := made_on.get("threads"), int) else None]
    return {
        "Seed": f"{recipe.get('seed', 'not recorded')} (one start)",
        "Device": ", ".join(str(one) for one in device if one),
        "Commit": made_on.get("commit"),
        "Versions": f"bntt {made_on.get('bntt', '?')}, torch {made_on.get('torch', '?')}",
        "Started": made_on.get("started"),
        "Data": made_on.get("data.check"),
        "Data fingerprint": str(made_on.get("data.fingerprint", ""))[:16],
        "Time": f"{duration(seconds)}, with validation" if seconds is not None else "",
    }


MARKS: dict[Answer, Mark] = {"holds": "good", "does not hold": "bad", "not decided": "open", "not run": "gap"}
"""Colour of each verdict."""
RESULT = "result.json"
SETTINGS = {"paper": "the paper's settings", "small": "a small setting, not comparable with the paper's numbers"}
STUDY_COLUMNS = ("study", "setting", "starts", *MARKS)
"""Heads of the table of several studies."""


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
        (_claims(study), _results(study), *([Section("Figures", charts=figures)] if figures else []), _runs(study)),
        (Cell(study.title), Cell(study.setting), done, *(count(verdicts.count(one)) for one in MARKS)),
    )


def _claims(study: StudyRecord) -> Section:
    """Tabulate the claims of a study, the paper's and our own, with verdict and reason."""
    rows = tuple(
        (
            Cell(claim.says, note=f"“{claim.quotation}”" * bool(claim.quotation)),
            *(Cell(text or "–") for text in (claim.source, claim.paper)),
            Cell(claim.verdict, mark=MARKS[claim.verdict]),
            Cell(claim.because or "–"),
        )
        for claim in study.claims
    )
    heads = ("claim", "source", "the paper's number", "verdict", "why")
    return Section("Claims", tables=(Table("Claims of the paper, quoted, and questions of our own", heads, rows),))


def _results(study: StudyRecord) -> Section:
    """Tabulate the numbers of a study: a run in each row, our number and below it the paper's."""
    columns = study.table.columns
    body = tuple(
        (Cell(row.label or row.run), *(_number(row, column.key) for column in columns)) for row in study.table.rows
    )
    caption = "Ours: mean ± standard deviation over starts; below it how many, and the 95% interval of the mean"
    note = "Ours were run in a small setting; the paper's values are of the paper's settings." * (
        study.setting == "small"
    )
    starts = [cell.n for row in study.table.rows for cell in row.cells.values() if cell]
    words = (f"Preliminary: numbers of fewer than {FEW} starts.",) if min(starts, default=FEW) < FEW else ()
    return Section("Results", words, (Table(caption, ("run", *(column.head for column in columns)), body, note),))


def _number(row: RowRecord, key: str) -> Cell:
    ours, paper = row.cells.get(key), row.paper.get(key)
    cell = gap("not run")
    if ours is not None:
        low, high, note = ours.low_95, ours.high_95, plural(ours.n, "start")
        if low is not None and high is not None and low < high:
            note += f", {three_digits(low)} to {three_digits(high)}"
        cell = Cell(ours.text, ours.mean, note)
    if paper is not None and paper.value is not None:
        note = f"{cell.note}; paper: {paper.value:g}".removeprefix("; ")
        cell = replace(cell, note=note, source=paper.source)
    return cell


def _runs(study: StudyRecord) -> Section:
    """Tabulate the starts that are not done and, folded, recipes and machines."""
    rows = tuple(_start(run, start) for run in study.runs for start in run.starts if start.state != "done")
    columns = ("run", "seed", "state", "time", "device", "commit", "data", "directory")
    missing = (Table("Starts that are not done", columns, rows),) if rows else ()
    made_on = {row.run: "; ".join(row.made_on) for row in study.table.rows}
    settings = tuple(
        tuple(Cell(text or "–") for text in (run.label, run.recipe, ", ".join(run.overrides), made_on.get(run.name)))
        for run in study.runs
    )
    recipes = Table("Recipes, and on what they were run", ("run", "recipe", "changed in it", "made on"), settings)
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


PLACES = (Path("runs"), Path("studies"))
"""Folders that a report searches by default: results of ``bntt train`` and ``bntt study``."""


def is_study(folder: Path) -> bool:
    """Return True if the folder holds a study's result."""
    return (folder / RESULT).is_file()


def is_run(folder: Path) -> bool:
    """Return True if the folder holds a recipe, or a measurement of some run."""
    return (folder / "recipe.toml").is_file() or bool(measured(folder))


def find_subjects(paths: Sequence[Path]) -> list[Path]:
    """List the requested directories, each once: studies, then runs, where a folder holds several."""
    found = list[Path]()
    for path in paths or PLACES:
        inside = sorted(subjects_in(path.parent if path.name == RESULT else path), key=lambda one: not is_study(one))
        if paths and not inside:
            lacks = "holds neither recipe.toml nor result.json nor any measurement"
            raise CheckpointError(
                f"{path} is neither a run nor a study: it {lacks if path.is_dir() else 'is no directory'}"
            )
        found += inside
    if not found:
        looked = " and ".join(str(Path.cwd() / place) for place in PLACES)
        raise RecipeError(f"nothing to report: no run and no study in {looked}; name a run or study directory")
    return list({folder.resolve(): folder for folder in found}.values())


def subjects_in(root: Path) -> Iterator[Path]:
    """Yield a run or study, or those in a folder, by name; links are not followed."""
    for folder, names, _ in os.walk(root):
        if is_study(Path(folder)) or is_run(Path(folder)):
            yield Path(folder)
            names.clear()
        names[:] = sorted(name for name in names if not name.startswith("."))


def subjects_of(folders: Sequence[Path]) -> list[Subject]:
    """Read these runs and studies."""
    names = Counter(folder.resolve().name for folder in folders)  # runs of one name are told apart by their places
    titles = [f"{folder.name} ({folder})" if names[folder.resolve().name] > 1 else "" for folder in folders]
    return [
        study_subject(folder) if is_study(folder) else run_subject(folder, title)
        for folder, title in zip(folders, titles, strict=True)
    ]


def overview_of(subjects: Sequence[Subject]) -> list[Table]:
    """Tabulate the subjects of a page, one table of each kind."""
    overview = list[Table]()
    for kind, columns, caption in (
        ("study", STUDY_COLUMNS, "Studies, with their verdicts on claims"),
        ("run", RUN_COLUMNS, "Runs, one start each: test accuracy, with the interval for the images"),
        ("measurements", MEASUREMENT_COLUMNS, "Measurements without a training of their own"),
    ):
        numbered = [(n, one.compared) for n, one in enumerate(subjects, 1) if one.kind == kind]
        rows = tuple((replace(row[0], link=anchor(n)), *row[1:]) for n, row in numbered)
        overview += [Table(caption, columns, rows)] * bool(rows)
    return overview


def anchor(subject: int, section: int = 0) -> str:
    """Return the anchor of a subject, or of a section of it."""
    return f"s{subject}-{section}" if section else f"s{subject}"


def numeric(table: Table) -> list[bool]:
    """Say of each column if it holds numbers, which are right-aligned; the first never does."""
    columns = ([row[place] for row in table.rows] for place in range(1, len(table.columns)))
    return [False] + [
        any(one.value is not None for one in held)
        and all(one.value is not None or one.mark == "gap" or one.text == "–" for one in held)
        for held in columns
    ]


def html_of(subjects: Sequence[Subject]) -> str:
    """Return the whole file: of one subject, or of several with an index before them."""
    loader = PackageLoader("bntt.studies", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"anchor": anchor, "numeric": numeric, "looks_of": looks_of, "sha256": sha256}
    environment.globals |= {"on_shared_scales": on_shared_scales}
    overview = overview_of(subjects) if len(subjects) > 1 else []
    whole = environment.get_template("page.html").render(
        subjects=subjects, overview=overview, pictures=Pictures(), version=__version__
    )
    return whole.translate(HIDDEN)


def sha256(text: str) -> str:
    """Return a checksum as a page's policy states it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def save_page(subjects: Sequence[Subject], path: Path) -> None:
    """Write the page whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, html_of(subjects).encode())

"""A run, or measurements alone, as a subject of the page: each file is shown as the section that its record defines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from bntt.analysis.accuracy import EvaluationResult
from bntt.analysis.measurement import ArgumentError, Measurement
from bntt.analysis.result import Number, Record, first_fault, result_from
from bntt.charts.section import Cell, Section, Table, count, duration, gap, interval, plural, share
from bntt.io.files import flatten, parse_json, tables_of
from bntt.runs.measurements import MEASUREMENTS
from bntt.runs.training.curves import best_epoch, training_curves
from bntt.studies.claims import ClaimRecord

T = TypeVar("T")
PARSERS: dict[str, Callable[[str], Any]] = {
    ".toml": tables_of,
    ".json": parse_json,
    ".jsonl": lambda text: [parse_json(line) for line in text.splitlines()],
}
OBJECT = TypeAdapter(dict[str, Any]).validate_python
LARGEST = 32 << 20
"""Largest size of a file that is read, in bytes."""
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
    claims: tuple[ClaimRecord, ...] = ()


def read(path: Path, validate: Callable[..., T]) -> T:
    """Read a JSON, JSONL or TOML file as pydantic validates it; a ValueError names the file and its first fault."""
    try:
        if not path.is_file():
            raise ValueError("missing")
        if path.stat().st_size > LARGEST:
            raise ValueError(f"larger than the {LARGEST >> 20} MiB that are read")
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
    """Find the files of every measurement in a directory, the usual split first; unknown ones under ``""``."""
    found: dict[str, list[Path]] = {}
    paths = [path for path in folder.glob("*.json") if not path.stem.startswith("environment")]
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem)):
        kinds = (name for name, one in MEASUREMENTS.items() if f"{path.stem}-".startswith(f"{one.file or name}-"))
        found.setdefault(next(kinds, ""), []).append(path)
    return found


def sections_of(folder: Path) -> tuple[Section, ...]:
    """Make the sections of all measurements in a directory; an unreadable file is a gap."""
    found = measured(folder)
    sections = list[Section]()
    for kind, measurement in MEASUREMENTS.items():
        shown = [_section(measurement, path) for path in found.get(kind, ())]
        sections += [_as_one_table(shown)] if kind == "evaluate" and shown else shown
    if "" in found:
        names = ", ".join(path.name for path in found[""])
        sections.append(Section("Other files", words=(f"Not shown, of no known measurement: {names}.",)))
    return tuple(sections)


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


def _as_one_table(sections: list[Section]) -> Section:
    """Combine all evaluations of a run as rows of one table, and show the first of them over time."""
    whole = [section for section in sections if section.tables] or sections
    rows = list[tuple[Cell, ...]]()
    for section in whole:
        suffix = section.title.removeprefix(whole[0].title)
        for first, *rest in section.tables[0].rows if section.tables else ():
            rows.append((Cell(first.text + suffix * (suffix != f" ({first.text})")), *rest))
    tables = tuple(replace(table, rows=tuple(rows)) for table in whole[0].tables)
    return replace(whole[0], tables=tables, gaps=tuple(gap for section in sections for gap in section.gaps))


def training(epochs: list[Epoch]) -> Section:
    """Chart loss, accuracies, learning rate, and of every layer the mean firing rate and mean |γ|, over epochs."""
    if not epochs:
        return Section("Training", gaps=("metrics.jsonl: no epoch was finished",))
    rows = [epoch.model_dump() for epoch in epochs]
    word = "No validation accuracy of all time steps was measured."
    if best := best_epoch(rows):
        word = f"Best validation accuracy {best[1]:.1%}, at epoch {best[0]} of {len(rows)}."
    return Section("Training", words=(word,), charts=tuple(training_curves(rows)) if len(rows) > 1 else ())


def run_subject(folder: Path) -> Subject:
    """Read all results in a run directory; what is missing or invalid is a gap."""
    title, sections, gaps = folder.resolve().name, list(sections_of(folder)), list[str]()
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
    """Name what a run was made of and on; empty what is not recorded."""
    told = defaultdict(lambda: "?", recipe)
    batch, decay = told["train.batch_size"], told["train.weight_decay"]
    device = [made_on.get("device"), made_on.get("gpu") or made_on.get("processor")]
    device += [plural(threads, "thread") if isinstance(threads := made_on.get("threads"), int) else None]
    return {
        "Network": f"width {told['network.width']}, leak {told['network.leak']}",
        "Seed": f"{recipe.get('seed', 'not recorded')} (one start)",
        "Training": f"{told['train.epochs']} epochs, batch {batch}, learning rate {told['train.lr']}, "
        f"weight decay {decay}",
        "Device": ", ".join(str(one) for one in device if one),
        "Commit": made_on.get("commit"),
        "Versions": f"bntt {made_on.get('bntt', '?')}, torch {made_on.get('torch', '?')}",
        "Started": made_on.get("started"),
        "Data": made_on.get("data.check"),
        "Data fingerprint": str(made_on.get("data.fingerprint", ""))[:16],
        "Time": f"{duration(seconds)}, with validation" if seconds is not None else "",
    }

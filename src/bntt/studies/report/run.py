"""The measurements in a directory, and the section of each, as defined by its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bntt.analysis.accuracy.result import EvaluationResult
from bntt.analysis.measurement import Measurement
from bntt.analysis.result import result_from
from bntt.charts.section import Cell, Section, Table, count, duration, gap, interval, plural, share
from bntt.runs.measurements import MEASUREMENTS
from bntt.runs.training.curves import EVERY_EPOCH, best_epoch, training_curves
from bntt.studies.report.blocks import Subject
from bntt.studies.report.reading import GapError, Values, clean, cleaned, read_json, read_lines, read_toml

LONGEST_NAME = 100
MOST_FILES = 200


def measured(folder: Path) -> dict[str, list[Path]]:
    """Find the files of every measurement in a directory, the usual split first; unknown ones under ``""``."""
    found: dict[str, list[Path]] = {}
    paths = [path for path in folder.glob("*.json") if not path.stem.startswith("environment")]
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem)):
        found.setdefault(kind_of(path.stem), []).append(path)
    return found


def kind_of(stem: str) -> str:
    """Name the measurement that a file belongs to; "" if none.

    >>> kind_of("evaluation"), kind_of("exit-per-sample-validation"), kind_of("drift-test"), kind_of("notes")
    ('evaluate', 'exit', 'drift', '')
    """
    return next((name for name, one in MEASUREMENTS.items() if f"{stem}-".startswith(f"{one.file or name}-")), "")


def sections_of(folder: Path) -> tuple[Section, ...]:
    """Make the sections of all measurements in a directory; an unreadable file is a gap."""
    found = measured(folder)
    sections = list[Section]()
    for kind, measurement in MEASUREMENTS.items():
        paths = found.get(kind, [])
        shown = [_section(measurement, path) for path in paths[:MOST_FILES]]
        if len(paths) > MOST_FILES:
            gap = f"{len(paths):,} files, more than the {MOST_FILES} that are read"
            shown.append(Section(measurement.name.capitalize(), gaps=(gap,)))
        sections += [_as_one_table(shown)] if kind == "evaluate" and shown else shown
    if "" in found:
        names = ", ".join(clean(path.name, LONGEST_NAME) for path in found[""][:MOST_FILES])
        names += f" and {more} more" if (more := len(found[""]) - MOST_FILES) > 0 else ""
        sections.append(Section("Other files", words=(f"Not shown, of no known measurement: {names}.",)))
    return tuple(sections)


def _section(measurement: Measurement, path: Path) -> Section:
    beyond = path.stem.removeprefix(measurement.file or measurement.name).strip("-")
    for variant in measurement.variants:  # its record has a title of its own
        beyond = beyond.removeprefix(variant).strip("-")
    beyond = clean(beyond, LONGEST_NAME)
    try:
        values = cleaned(read_json(path).held)
        section = result_from(measurement.record_in(path.stem), values).section()
        if other := _of_others(values, path):
            section = replace(section, gaps=(*section.gaps, other))
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        odd = clean(str(error), 200) if isinstance(error, ValueError) else "its numbers do not fit together"
        why = str(error) if isinstance(error, GapError) else f"{clean(path.name, LONGEST_NAME)}: {odd}"
        section = Section(measurement.name.capitalize(), gaps=(why,))
    return replace(section, title=f"{section.title} ({beyond.replace('-', ' ')})") if beyond else section


def _of_others(values: Mapping[str, Any], path: Path) -> str:
    """Say that numbers are of another run, or of other options or weights than its evaluation; else ""."""
    folder, name = path.parent, clean(path.name, LONGEST_NAME)
    if isinstance(options := values.get("measured_with"), dict) and options:
        changed = {f"{key}={value}" for one in options.values() if isinstance(one, dict) for key, value in one.items()}
        return f"{name}: measured with {clean(', '.join(sorted(changed)), LONGEST_NAME)}, not as trained"
    if not (folder / "recipe.toml").exists():
        return ""
    runs = values.get("measured_on") or {folder.resolve().name: ""}
    if folder.resolve().name not in runs:
        return f"{name}: measured on {clean(', '.join(map(str, runs)), LONGEST_NAME)}, and not on this run"
    with suppress(GapError):
        now, then = read_json(folder / "evaluation.json").held.get("epoch"), values.get("epoch")
        if isinstance(now, int) and isinstance(then, int) and now != then:
            return f"{name}: measured with the weights of epoch {then + 1}, evaluation.json with those of {now + 1}"
    return ""


def _as_one_table(sections: list[Section]) -> Section:
    """Combine all evaluations of a run as rows of one table, and show the first of them over time."""
    whole = [section for section in sections if section.tables]
    if not whole:
        return replace(sections[0], gaps=tuple(gap for section in sections for gap in section.gaps))
    first = whole[0]
    table, *rest = first.tables
    rows = [
        (Cell(row[0].text + ("" if suffix == f" ({row[0].text})" else suffix)), *row[1:])
        for section in whole
        for suffix in [section.title.removeprefix(first.title)]
        for row in section.tables[0].rows
    ]
    gaps = tuple(gap for section in sections for gap in section.gaps)
    return replace(first, tables=(replace(table, rows=tuple(rows)), *rest), gaps=gaps)


def training(rows: Sequence[Values]) -> Section:
    """Chart loss, accuracies, learning rate, and of every layer the mean firing rate and mean |γ|, over epochs.

    Raises:
        GapError: if a row has no epoch.
    """
    if not rows:
        return Section("Training", gaps=("metrics.jsonl: no epoch was finished",))
    read = [_row(row) for row in rows]
    best = best_epoch(read)
    word = "No validation accuracy of all time steps was measured."
    if best is not None:
        word = f"Best validation accuracy {best[1]:.1%}, at epoch {best[0]} of {len(rows)}."
    return Section("Training", words=(word,), charts=tuple(training_curves(read)) if len(rows) > 1 else ())


def _row(row: Values) -> dict[str, Any]:
    """Return an epoch with the values that can be drawn."""
    by_layer = {key: row.inside(key) for key in ("firing_rate", "gamma") if key in row}
    return {
        "epoch": row.whole("epoch"),
        **{key: row.maybe(key) for key in EVERY_EPOCH},
        "best": row.held.get("best"),
        **{key: {clean(name, 60): of.maybe(name) for name in of} for key, of in by_layer.items()},
    }


RUN_COLUMNS = ("run", "data", "network", "norm", "steps", "start", "test accuracy", "95% interval", "spikes per image")
"""Heads of the table of several runs."""
OWN, ITS_OWN = "own network", "of its own"
"""Names shown for a network put together in Python, and for its norms where they have no one name."""
MEASUREMENT_COLUMNS = ("directory", "measured")
"""Heads of the table of measurements alone."""


def run_subject(folder: Path) -> Subject:
    """Read all results in a run directory; missing parts are gaps."""
    gaps: list[str] = []
    recipe, made_on = _read_or_gap(folder, "recipe.toml", gaps), _read_or_gap(folder, "environment.json", gaps)
    if recipe is None and (folder / "recipe.toml").exists():
        recipe = Values({}, "recipe.toml")
    sections = list(sections_of(folder))
    first = 1 if "evaluate" in measured(folder) else 0
    sections[first:first] = _trained(folder)
    if recipe is not None:
        sections.append(_recipe(recipe))
    evaluation: EvaluationResult | None = None
    with suppress(ValueError):  # its section states the gap
        evaluation = result_from(EvaluationResult, cleaned(read_json(folder / "evaluation.json").held))
    return Subject(
        clean(folder.resolve().name, 120),
        "measurements" if recipe is None else "run",
        _lead(recipe, made_on, evaluation),
        tuple(_facts(folder, recipe, made_on)),
        tuple(sections),
        _run_row(folder, recipe, made_on, evaluation) if recipe is not None else _measured_row(folder, sections),
        tuple(gaps),
    )


def _read_or_gap(folder: Path, name: str, gaps: list[str]) -> Values | None:
    path = folder / name
    if not (folder / "recipe.toml").exists():
        gaps = []  # nothing was trained here: what is missing is no gap
    try:
        return read_toml(path) if path.suffix == ".toml" else read_json(path)
    except GapError as error:
        gaps.append(str(error))
        return None


def _trained(folder: Path) -> list[Section]:
    if not (folder / "metrics.jsonl").exists():
        return []
    try:
        return [training(read_lines(folder / "metrics.jsonl"))]
    except (GapError, ValueError) as error:
        return [Section("Training", gaps=(str(error),))]


def table_in(values: Values | None, key: str) -> Values:
    """Return a table of a recipe, or an empty one."""
    try:
        return values.inside(key) if values is not None else Values({}, key)
    except GapError:
        return Values({}, key)


def data_of(recipe: Values | None, made_on: Values | None) -> str:
    """Name the data that a run was trained on, as its recipe does."""
    data = table_in(recipe, "data")
    return data.shown("label") or data.shown("name") or table_in(made_on, "data").shown("name") or "data not recorded"


def _lead(recipe: Values | None, made_on: Values | None, evaluation: EvaluationResult | None) -> str:
    if recipe is None:
        return "Measurements without a training of their own: no recipe lies beside them."
    network = table_in(recipe, "network")
    what = f"{network.shown('name', 'a network') or OWN} with norm {network.shown('norm', 'not recorded') or ITS_OWN}"
    steps = network.maybe("num_steps")
    during = "" if steps is None else f", {plural(round(steps), 'time step')}"
    text = f"{what}{during}, on {data_of(recipe, made_on)}: one start"
    if evaluation is None:
        return f"{text}, not evaluated."
    low, high = evaluation.accuracy_wilson_95
    return (
        f"{text}. {evaluation.split.capitalize()} accuracy of {evaluation.images:,} images: {evaluation.accuracy:.1%} "
        f"(95% interval {low:.1%} to {high:.1%})."
    )


def _facts(folder: Path, recipe: Values | None, made_on: Values | None) -> Iterator[tuple[str, str]]:
    train, network, data = table_in(recipe, "train"), table_in(recipe, "network"), table_in(made_on, "data")
    environment = made_on or Values({}, "")
    if recipe is not None:
        yield "Data", data_of(recipe, made_on) + (f", {data.shown('check')}" if data.shown("check") else "")
        width, steps = network.shown("width", "?"), plural(round(network.maybe("num_steps") or 0), "time step")
        built = f"{network.shown('name', '?')}, width {width}, {steps}, leak {network.shown('leak', '?')}"
        yield "Network", built if network.shown("name", "?") else f"{OWN}, {steps}"
        yield "Norm", network.shown("norm", "not recorded") or ITS_OWN
        yield "Seed", f"{recipe.shown('seed', 'not recorded')} (one start)"
        rate = f"learning rate {train.shown('lr', '?')}, weight decay {train.shown('weight_decay', '?')}"
        epochs = "1 epoch" if train.shown("epochs") == "1" else f"{train.shown('epochs', '?')} epochs"
        yield "Training", f"{epochs}, batch {train.shown('batch_size', '?')}, {rate}"
    if made_on is not None:
        device = environment.shown("gpu") or environment.shown("processor", "not recorded")
        kind, threads = environment.shown("device"), environment.maybe("threads")
        yield "Device", ", ".join(w for w in (kind, device, plural(round(threads), "thread") if threads else "") if w)
        yield "Commit", environment.shown("commit", "not recorded")
        yield "Versions", f"bntt {environment.shown('bntt', '?')}, torch {environment.shown('torch', '?')}"
        yield "Started", environment.shown("started", "not recorded")
        if data.shown("fingerprint"):
            yield "Data fingerprint", data.shown("fingerprint")[:16]
    if (seconds := _seconds(folder)) is not None:
        yield "Time", f"{duration(seconds)}, with validation"
    if recipe is not None:
        yield "The paper's value", "not available for a single run: a study puts the paper's numbers beside its own"


def _seconds(folder: Path) -> float | None:
    try:
        rows = read_lines(folder / "metrics.jsonl")
    except GapError:
        return None
    return rows[-1].maybe("seconds") if rows else None


def _run_row(
    folder: Path, recipe: Values, made_on: Values | None, evaluation: EvaluationResult | None
) -> tuple[Cell, ...]:
    network, seed = table_in(recipe, "network"), recipe.shown("seed")
    return (
        Cell(clean(folder.resolve().name, 120)),
        Cell(data_of(recipe, made_on)),
        Cell(network.shown("name", "–") or OWN),
        Cell(network.shown("norm", "–") or ITS_OWN),
        count(network.maybe("num_steps")),
        Cell(f"seed {seed}" if seed else "–"),
        share(evaluation.accuracy) if evaluation else gap("not evaluated"),
        interval(*evaluation.accuracy_wilson_95) if evaluation else Cell("–"),
        count(evaluation.spikes_per_image if evaluation else None),
    )


def _measured_row(folder: Path, sections: Sequence[Section]) -> tuple[Cell, ...]:
    return Cell(clean(folder.resolve().name, 120)), Cell(", ".join(section.title for section in sections))


def _recipe(recipe: Values) -> Section:
    rows = tuple((Cell(name), Cell(value)) for name, value in flat(recipe.held))[:500]
    notes = (recipe.shown("notes"),) if recipe.shown("notes") else ()
    table = Table("The recipe, with what was left to the defaults", ("setting", "value"), rows)
    return Section("Recipe", words=notes, folded=(table,))


def flat(values: Any, before: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield settings by their full names, as ``bntt train -s`` takes them.

    >>> list(flat({"seed": 0, "train": {"lr": 0.3, "lr_drops": [50, 70]}}))
    [('seed', '0'), ('train.lr', '0.3'), ('train.lr_drops', '[50, 70]')]
    """
    for key, value in values.items():
        name = f"{before}{clean(str(key), 80)}"
        if isinstance(value, dict) and depth < 8:
            yield from flat(value, f"{name}.", depth + 1)
        elif name != "notes":
            yield name, clean(str(value), 300)

"""The result of a study, the content of ``result.json``: every number with its starts, and a verdict on each claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from bntt.analysis.accuracy.accuracy import FEW, Summary
from bntt.analysis.result import Result
from bntt.io.files import write_json
from bntt.runs.environment import NUMERICS, environment, numerics_of
from bntt.studies.claims.claim import Claim, Names
from bntt.studies.claims.rules import judged
from bntt.studies.made_on import accuracy_of, also_run, made_on, where_made
from bntt.studies.measures import EVALUATE, measure_from, metric_of
from bntt.studies.pool import KeptRun
from bntt.studies.published import paper_cell
from bntt.studies.start_plan import PlannedRun, Start, same_runs
from bntt.studies.study_file import Study, measure_of
from bntt.studies.study_record import StudyRecord
from bntt.studies.study_schema import Column, SettingName
from bntt.version import __version__

EVALUATION = measure_from(EVALUATE, {})


@dataclass(frozen=True)
class StartResult:
    """One start after all work: its state and its measurements."""

    start: Start
    state: str
    """State: "done", "failed" or "not run"."""
    why: str = ""
    kept: KeptRun | None = None
    identity: str = ""
    numbers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Measurements as JSON values, by their names in the study."""
    more: tuple[StartResult, ...] = ()
    """Further runs of the same start, which are listed but give no number: with its seed they are not another start."""
    records: dict[str, Result | None] = field(default_factory=dict, init=False, compare=False)
    """The same as records, cached when first read."""

    def runs(self) -> list[KeptRun]:
        """List its runs; the first gives every number."""
        return [one.kept for one in (self, *self.more) if one.kept]

    def number(self, column: Column) -> float | None:
        """Read its number in a column; None if it has no finite one."""
        record = self.record(measure_of(column))
        if record is None:
            return None
        try:
            found = metric_of(column.metric).metric.read(record, column.at)
        except (AttributeError, TypeError, IndexError, ValueError):
            return None  # kept by a version that measured less
        return None if found is None or not math.isfinite(found) else float(found)

    def record(self, name: str) -> Result | None:
        """Read the record of a measure; None if it is missing, or was kept by a version that measured less."""
        if name in self.numbers and name not in self.records:
            measure = EVALUATION if name == EVALUATE else self.start.measures[name]
            self.records[name] = None
            with suppress(ValueError):
                self.records[name] = measure.read(self.numbers[name])
        return self.records.get(name)


@dataclass(frozen=True)
class StudyResult:
    """Study at a setting, with all results."""

    study: Study
    setting: SettingName
    runs: tuple[PlannedRun, ...]
    found: Mapping[tuple[str, int], StartResult]
    """Starts by run and seed."""
    device: str = "cpu"

    def numbers(self) -> dict[tuple[str, str], dict[int, float]]:
        """Collect the numbers of every run and column, by seed."""
        found: dict[tuple[str, str], dict[int, float]] = {}
        for run, column in product(self.runs, self.study.table):
            values = {start.seed: self.found[run.name, start.seed].number(column) for start in run.starts}
            row = {seed: value for seed, value in values.items() if value is not None}
            if column.minus:
                other = found[run.name, column.minus]
                row = {seed: value - other[seed] for seed, value in row.items() if seed in other}
            found[run.name, column.key] = row
        return found


def directory_of(study: str, setting: SettingName, root: Path) -> Path:
    """Name the folder of a study's result."""
    return root / (study if setting == "paper" else f"{study}-{setting}")


def write_result(result: StudyResult, folder: Path, figures: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Write a result as ``result.json`` into a folder that exists, whole or not at all."""
    path = folder / "result.json"
    write_json(path, as_json(result, figures))
    return path


def as_json(result: StudyResult, figures: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Collect the numbers of a result with their names, ready for ``json``."""
    study, numbers, same = result.study, result.numbers(), same_runs(result.runs)
    units = {column.key: metric_of(column.metric).metric.unit for column in study.table}
    labels = {run.name: run.label or run.name for run in study.runs} | {run.name: run.label for run in result.runs}
    names = Names(labels, {column.key: _title(column) for column in study.table})
    columns = [column for column in study.table if column.shown]
    values = {
        "study": study.name,
        "title": study.title,
        "about": study.about,
        "setting": result.setting,
        "setting_about": study.settings[result.setting].about,
        "preliminary": _is_preliminary(result, numbers),
        "bntt": __version__,
        "numerics": NUMERICS,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": environment()["commit"],
        "device": result.device,
        "runs": [_run(result, run) for run in result.runs],
        "table": {
            "columns": [{"key": c.key, "title": _title(c), "unit": units[c.key]} for c in columns],
            "rows": [_row(result, run, columns, numbers) | _same_as(result, run, same) for run in result.runs],
        },
        "figures": [dict(figure) for figure in figures],
        "claims": [
            row | {"because": row["because"] + _left_out(result, claim, numbers)}
            for claim, row in zip(study.claims, judged(study.claims, numbers, units, same, names), strict=True)
        ],
    }
    return StudyRecord.model_validate(values).model_dump(mode="json", exclude_unset=True)


def summary_of(result: StudyResult) -> dict[str, Any]:
    """Shorten a result to the parts people read: tables, claims, and the environment of every start."""
    values = as_json(result)
    for run in values["runs"]:
        for start in run["starts"]:
            del start["measures"]
    return {key: value for key, value in values.items() if key not in ("written", "commit", "figures")}


def _is_preliminary(result: StudyResult, numbers: Mapping[tuple[str, str], Mapping[int, float]]) -> bool:
    """Return True if a run, or a number of one, has few starts, counting those done and not those planned."""
    done = [sum(result.found[run.name, start.seed].state == "done" for start in run.starts) for run in result.runs]
    return min([*done, *(len(values) for values in numbers.values() if values)], default=0) < FEW


def _left_out(result: StudyResult, claim: Claim, numbers: Mapping[tuple[str, str], Mapping[int, float]]) -> str:
    """Name the starts that were made and have no number for a claim: failures must not be left out silently."""
    runs, columns = claim.decided_by()
    lost = [
        f"{run} from start {seed}"
        for (run, seed), found in result.found.items()
        if run in runs and found.state != "not run" and any(seed not in numbers[run, key] for key in columns)
    ]
    return f"; left out, without a number: {', '.join(lost)}" if lost else ""


def _title(column: Column) -> str:
    metric = metric_of(column.metric).metric
    at = "" if column.at is None or column.title else f" at {column.at:g}"
    return (column.title or metric.title) + at


def _run(result: StudyResult, run: PlannedRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "label": run.label,
        "recipe": run.recipe,
        "overrides": list(run.overrides),
        "seeds": [start.seed for start in run.starts],
        "starts": [_start(result.found[run.name, start.seed]) for start in run.starts],
    }


def _start(found: StartResult) -> dict[str, Any]:
    kept = found.kept
    facts: Mapping[str, Any] = kept.environment if kept else {}
    return {
        "seed": found.start.seed,
        "state": found.state,
        "why": found.why,
        "directory": str(kept.place) if kept else None,
        "digest": found.identity,
        "data": dict(kept.data) if kept else None,
        "commit": facts.get("commit"),
        "device": kept.device if kept else None,
        "threads": facts.get("threads"),
        "precision": kept.recipe.compute.precision if kept else None,
        "seconds": kept.evaluation.get("seconds") if kept else None,
        "numerics": numerics_of(facts) if kept else None,
        "also_run": [
            {"directory": str(one.place), "made_on": where_made(one), "accuracy": accuracy_of(one)}
            for one in found.runs()[1:]
        ],
        "measures": {name: _without_places(values) for name, values in found.numbers.items()},
    }


def _without_places(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the measurements without the path of an ANN's folder on this machine."""
    made = values.get("conversion")
    if not made:
        return dict(values)
    ann = {**made["ann"], "run": Path(made["ann"]["run"]).name}
    return {**values, "conversion": {**made, "ann": ann}}


def _row(
    result: StudyResult,
    run: PlannedRun,
    columns: Sequence[Column],
    numbers: Mapping[tuple[str, str], Mapping[int, float]],
) -> dict[str, Any]:
    cells = {column.key: _cell(list(numbers[run.name, column.key].values()), column) for column in columns}
    paper = {column.key: paper_cell(result.study.name, run.name, column.key) for column in columns}
    every = [(start.seed, result.found[run.name, start.seed].runs()) for start in run.starts]
    further = {"also_run": found} if (found := also_run(every)) else {}
    first = [kept[0] for _, kept in every if kept]
    made = {"made_on": made_on(first), **further}
    modified = any(one.environment.get("data", {}).get("check") == "modified" for one in first)
    label = run.label + " (modified files)" * modified
    return {"run": run.name, "label": label, **made, "cells": cells, "paper": paper}


def _same_as(result: StudyResult, run: PlannedRun, same: Mapping[str, str]) -> dict[str, str]:
    """Return the label of the run that this one equals by definition; nothing if there is none."""
    if run.name not in same:
        return {}
    return {"same_as": next(one.label for one in result.runs if one.name == same[run.name])}


def _cell(values: Sequence[float], column: Column) -> dict[str, Any] | None:
    """Compute mean, deviation and Student's interval over the starts; None if nothing was run."""
    if not values:
        return None
    found, digits = Summary(tuple(values)), metric_of(column.metric).metric.digits
    low, high = found.interval or (None, None)
    return {
        "mean": found.mean,
        "sd": found.sd,
        "n": found.n,
        "values": list(values),
        "low_95": low,
        "high_95": high,
        "text": text_of(found, digits),
    }


def text_of(found: Summary, digits: int) -> str:
    """Format mean and deviation for a table.

    >>> text_of(Summary((87.4, 87.6)), 1), text_of(Summary((6380.0,)), 0)
    ('87.5 ± 0.1', '6,380')
    """
    if found.sd is None:
        return f"{found.mean:,.{digits}f}"
    return f"{found.mean:,.{digits}f} ± {found.sd:,.{digits}f}"

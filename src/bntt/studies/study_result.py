"""The result of a study, the content of ``result.json``: every number with its starts, and a verdict on each claim."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

from bntt.analysis.accuracy import FEW, Summary
from bntt.analysis.result import Result
from bntt.runs.environment import NUMERICS, environment, numerics_of
from bntt.studies.claims import Claim, Findings, judged
from bntt.studies.make_runs import Ended
from bntt.studies.measures import EVALUATE, measure_from
from bntt.studies.plan import Folders, PlannedRun, Start, StudyPlan, WorkItem, decide_actions, same_runs
from bntt.studies.pool import KeptRun, choose, measured_values
from bntt.studies.study_file import Column, SettingName, Study
from bntt.studies.study_record import StudyRecord
from bntt.version import __version__

Numbers = Mapping[tuple[str, str], Mapping[int, float]]
EVALUATION = measure_from(EVALUATE, {})
PRECISIONS = {"fp32": "float32", "bf16-grad": "gradients in bfloat16", "bf16": "bfloat16"}
"""Precisions in words."""


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
    records: dict[str, Result | None] = field(default_factory=dict, init=False, compare=False)
    """The same as records, cached when first read."""

    def number(self, column: Column) -> float | None:
        """Read its number in a column; None if it has no finite one."""
        record = self.record(column.source)
        if record is None:
            return None
        with suppress(AttributeError, TypeError, IndexError, ValueError):  # kept by a version that measured less
            found = column.number.read(record, column.at)
            return None if found is None or not math.isfinite(found) else float(found)
        return None

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


def results_of(
    planned: StudyPlan, folders: Folders, outcomes: Sequence[tuple[WorkItem, Ended]], device: str = "cpu"
) -> list[StudyResult]:
    """Collect the result of every study, from everything that exists now."""
    decide_actions(planned.items, folders.folders)
    how = {item.identity: ended for item, ended in outcomes}
    items = {called: item for item in planned.items for called in item.needed_by}
    results = []
    for study, runs in planned.studies:
        found = {}
        for start in (start for run in runs for start in run.starts):
            item = items[f"{study.name}: {start.run}, seed {start.seed}"]
            found[start.run, start.seed] = _result_of(item, start, how.get(item.identity))
        results.append(StudyResult(study, planned.setting, runs, found, device))
    return results


def _result_of(item: WorkItem, start: Start, ended: Ended | None) -> StartResult:
    run = choose(item.kept, start.measures.values())
    numbers = {} if run is None else measured_values(run, start.measures)
    missing = [name for name in start.measures if name not in numbers]
    if ended is not None and ended.code and (run is None or missing):
        return StartResult(start, "failed", ended.why, run, item.identity, numbers)
    if run is None:
        return StartResult(start, "not run", item.why, None, item.identity)
    why = f"without {', '.join(missing)}: {item.why}" if missing else ""
    return StartResult(start, "done", why, run, item.identity, numbers)


def as_json(result: StudyResult, figures: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Collect the numbers of a result with their names, ready for ``json``."""
    study, numbers, same = result.study, result.numbers(), same_runs(result.runs)
    units = {column.key: column.number.unit for column in study.table}
    shown = {run.name: run.label for run in result.runs}
    labels = {run.name: run.label or run.name for run in study.runs} | shown
    found = Findings(numbers, units, same, labels, {column.key: _title(column) for column in study.table})
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
        "runs": [
            {
                "name": run.name,
                "label": run.label,
                "recipe": run.recipe,
                "overrides": list(run.overrides),
                "seeds": [start.seed for start in run.starts],
                "starts": [_start(result.found[run.name, start.seed]) for start in run.starts],
            }
            for run in result.runs
        ],
        "table": {
            "columns": [{"key": c.key, "title": _title(c), "unit": units[c.key]} for c in columns],
            "rows": [
                _row(result, run, columns, numbers) | ({"same_as": shown[same[run.name]]} if run.name in same else {})
                for run in result.runs
            ],
        },
        "figures": [dict(figure) for figure in figures],
        "claims": [
            one.model_copy(update={"because": one.because + _left_out(result, claim, numbers)})
            for claim, one in zip(study.claims, judged(study.claims, found), strict=True)
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


def _is_preliminary(result: StudyResult, numbers: Numbers) -> bool:
    """Return True if a run, or a number of one, has few starts, counting those done and not those planned."""
    done = [sum(result.found[run.name, start.seed].state == "done" for start in run.starts) for run in result.runs]
    return min([*done, *(len(values) for values in numbers.values() if values)], default=0) < FEW


def _left_out(result: StudyResult, claim: Claim, numbers: Numbers) -> str:
    """Name the starts that were made and have no number for a claim: failures must not be left out silently."""
    runs, columns = claim.decided_by()
    lost = [
        f"{run} from start {seed}"
        for (run, seed), found in result.found.items()
        if run in runs and found.state != "not run" and any(seed not in numbers[run, key] for key in columns)
    ]
    return f"; left out, without a number: {', '.join(lost)}" if lost else ""


def _title(column: Column) -> str:
    at = "" if column.at is None or column.title else f" at {column.at:g}"
    return (column.title or column.number.title) + at


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
        "measures": {name: _without_place(values) for name, values in found.numbers.items()},
    }


def _without_place(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the measurements with the last name of an ANN's folder instead of its path on this machine."""
    if made := values.get("conversion"):
        return {**values, "conversion": {**made, "ann": {**made["ann"], "run": Path(made["ann"]["run"]).name}}}
    return dict(values)


def _row(result: StudyResult, run: PlannedRun, columns: Sequence[Column], numbers: Numbers) -> dict[str, Any]:
    kept = [found.kept for start in run.starts if (found := result.found[run.name, start.seed]).kept]
    made = Counter(f"{one.made_on}, {PRECISIONS[one.recipe.compute.precision]}" for one in kept)
    modified = any(one.environment.get("data", {}).get("check") == "modified" for one in kept)
    paper = published().get(result.study.name, {}).get(run.name, {})
    return {
        "run": run.name,
        "label": run.label + " (modified files)" * modified,
        "made_on": [f"{where}: {n} run{'s' * (n > 1)}" for where, n in made.items()],
        "cells": {column.key: _cell(list(numbers[run.name, column.key].values()), column) for column in columns},
        "paper": {column.key: paper.get(column.key, {"missing": "not available"}) for column in columns},
    }


@cache
def published() -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Return the paper's numbers, each with the source in which it was seen, by study, run and column."""
    return tomllib.loads(files("bntt.studies").joinpath("published.toml").read_text(encoding="utf-8"))


def _cell(values: Sequence[float], column: Column) -> dict[str, Any] | None:
    """Compute mean, deviation and Student's interval over the starts; None if nothing was run."""
    if not values:
        return None
    found, digits = Summary(tuple(values)), column.number.digits
    low, high = found.interval or (None, None)
    return {
        "mean": found.mean,
        "sd": found.sd,
        "n": found.n,
        "values": list(values),
        "low_95": low,
        "high_95": high,
        "text": f"{found.mean:,.{digits}f}" + ("" if found.sd is None else f" ± {found.sd:,.{digits}f}"),
    }

"""The result of a study: every number with its starts, a verdict on each claim, and pictures of the runs.

In a picture each run has its label, and the colour of its method.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from bntt.analysis.accuracy import Summary
from bntt.analysis.attack import AttackResult
from bntt.analysis.drift import LayerDrift, LayerInputs, inputs_chart
from bntt.analysis.neuron import NeuronResult
from bntt.analysis.result import Result
from bntt.charts.files import save_figure
from bntt.charts.records import (
    STEPS,
    Axis,
    Chart,
    Entry,
    Figure,
    Forest,
    Histogram,
    Level,
    Line,
    Lines,
    Number,
    finite,
    over_steps,
)
from bntt.io.files import write_json
from bntt.models.spiking import surrogate_of
from bntt.runs.environment import NUMERICS, environment, numerics_of
from bntt.runs.recipe.build import facts_of
from bntt.studies.claims import Claim, Findings, judged
from bntt.studies.make_runs import Ended
from bntt.studies.measures import EVALUATE, measure_from
from bntt.studies.plan import Folders, PlannedRun, Start, StudyPlan, WorkItem, decide_actions
from bntt.studies.pool import KeptRun, choose, measured_values
from bntt.studies.study_file import Column, FigureSpec, SettingName, Study
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
        with suppress(AttributeError, TypeError, IndexError, ValueError):  # kept by a version that measured less
            found = column.number.read(self.record(column.source), column.at)
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
    study, numbers = result.study, result.numbers()
    units = {column.key: column.number.unit for column in study.table}
    labels = {run.name: run.label or run.name for run in study.runs} | {run.name: run.label for run in result.runs}
    found = Findings(numbers, units, labels, {column.key: _title(column) for column in study.table})
    columns = [column for column in study.table if column.shown]
    values = {
        "study": study.name,
        "title": study.title,
        "about": study.about,
        "setting": result.setting,
        "setting_about": study.settings[result.setting].about,
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
            "rows": [_row(result, run, columns, numbers) for run in result.runs],
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


def _left_out(result: StudyResult, claim: Claim, numbers: Numbers) -> str:
    """Name the starts that were made and have no number for a claim: failures must not be left out silently."""
    runs, columns = claim.uses()
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


Values = Mapping[str, Any]
Starts = Sequence[Values]
SIGMA = {"pixels": "of the pixels' range", "normalized": "in standard deviations of the pixels"}
"""Unit of σ, by where the noise is added."""
BANDS = "bands: from the lowest start to the highest"
RATES = {
    "firing_rate": Axis("firing rate", percent=True, low=0),
    "gamma_magnitude": Axis("mean |γ|", low=0),
    "deviation": Axis("mean σ̄ over channels", low=0),
}


def measured_runs(result: StudyResult, part: FigureSpec) -> dict[str, Starts]:
    """Collect the results of a picture's measure for each start of its runs; runs without any are left out."""
    found: dict[str, Starts] = {}
    for run in result.runs:
        if part.runs and run.name not in part.runs:
            continue
        numbers = [result.found[run.name, start.seed].numbers.get(part.source) for start in run.starts]
        if there := [values for values in numbers if values is not None]:
            found[run.label] = there
    return found


def column_of(result: StudyResult, part: FigureSpec, key: str) -> dict[str, dict[int, float]]:
    """Collect a column's number of each start, for every run in a picture."""
    numbers = result.numbers()
    rows = {run.label: numbers[run.name, key] for run in result.runs if not part.runs or run.name in part.runs}
    return {label: row for label, row in rows.items() if row}


def mean_rows(rows: Sequence[Sequence[Number]]) -> list[Number]:
    """Average element by element over starts; None where a start is not finite. The shortest sets the length."""
    places = [finite(place) for place in zip(*rows, strict=False)]
    return [mean(values) if len(values) == len(rows) else None for values in places]


def over_starts(
    result: StudyResult,
    part: FigureSpec,
    axes: tuple[Axis, Axis],
    places: Callable[[Starts], Sequence[float]],
    row: Callable[[Values, Sequence[float]], Sequence[Number]],
    note: str = "",
) -> list[Chart]:
    """Chart the mean over a run's starts, with a band from the lowest start to the highest if there are several."""
    styles, lines = styles_of(result), list[Line]()
    for label, starts in measured_runs(result, part).items():
        x = list(places(starts))
        rows = [row(values, x) for values in starts]
        means, (colour, dashed) = mean_rows(rows), styles[label]
        spread = [finite(place) for place in zip(*rows, strict=False)] if len(rows) > 1 else []
        low, high = ([end(values, default=None) for values in spread] for end in (min, max))
        lines.append(Line(label, x[: len(means)], means, colour, low, high, dashed))
    return [Lines("", *axes, lines, note=note or BANDS * any(line.low for line in lines))] if lines else []


def layers_of(starts: Starts, key: str) -> dict[str, list[Number]]:
    """Average a quantity of every layer from `bntt activity` over starts; layers without it are left out."""
    rows: dict[str, list[list[Number]]] = {}
    for values in starts:
        mine: dict[str, list[Number]] = {}
        for row in values["steps"]:
            counts = key != "gamma_magnitude" or row["gamma_driven"]
            mine.setdefault(row["layer"], []).append(row[key] if counts else None)
        for layer, line in mine.items():
            rows.setdefault(layer, []).append(line)
    means = {layer: mean_rows(lines) for layer, lines in rows.items()}
    return {layer: line for layer, line in means.items() if any(value is not None for value in line)}


def styles_of(result: StudyResult) -> dict[str, tuple[str, bool]]:
    """Assign every run's look by label: the colour of its method; a further run of the same method is dashed."""
    styles: dict[str, tuple[str, bool]] = {}
    for run in result.runs:
        method = _method(run.starts[0]) if run.starts else run.label
        styles[run.label] = method, any(colour == method for colour, _ in styles.values())
    return styles


def _method(start: Start) -> str:
    if facts_of(start.recipe).is_ann:
        return "ann"
    if start.begins_with:
        return "hybrid" if start.recipe.train.epochs else "conversion"
    return start.recipe.network.norm


def _accuracy(result: StudyResult, part: FigureSpec, when: str = "") -> Axis:
    """Return an axis of accuracy on the split that was measured."""
    splits = dict.fromkeys(values["split"] for starts in measured_runs(result, part).values() for values in starts)
    return Axis(f"{' or '.join(splits)} accuracy{when}", percent=True, low=0, high=1)


def over_time(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the accuracy when stopped after each step."""
    x = replace(STEPS, scale="log") if part.logarithmic else STEPS
    return over_starts(
        result,
        part,
        (x, _accuracy(result, part, " when stopped after this step")),
        lambda starts: range(1, 1 + max(len(values["accuracy_over_time"]) for values in starts)),
        lambda values, _: values["accuracy_over_time"],
    )


def noise(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart accuracy against σ."""
    runs = measured_runs(result, part)
    units = dict.fromkeys(SIGMA[values["sigma_in"]] for starts in runs.values() for values in starts)
    return over_starts(
        result,
        part,
        (Axis(f"σ of the noise ({' or '.join(units)})"), _accuracy(result, part)),
        lambda starts: [row["sigma"] for row in starts[0]["runs"][0]["rows"]],
        lambda values, _: [row["accuracy"] for row in values["runs"][0]["rows"]],
    )


def bounds(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart accuracy against ε of FGSM, the lowest of all estimators; at 0 the clean images."""

    def lowest(values: Values) -> dict[float, float]:
        record = AttackResult.model_validate(values)
        rows = record.own_rows("fgsm")
        found = {0.0: (rows or record.found)[0].clean_accuracy}
        for row in rows:
            found[row.eps_255] = min(found.get(row.eps_255, 1.0), row.accuracy)
        return found

    return over_starts(
        result,
        part,
        (Axis("ε of FGSM (1/255)"), _accuracy(result, part)),
        lambda starts: sorted(set.intersection(*(set(lowest(values)) for values in starts))),
        lambda values, shared: [lowest(values)[eps] for eps in shared],
    )


def thresholds(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart accuracy and steps of the starts of the first run as staircases over the threshold."""
    runs = measured_runs(result, part)
    accuracy, steps = list[Line](), list[Line]()
    for number, values in enumerate(next(iter(runs.values()), ()), start=1):
        rows = [row for row in values["grid"] if row["threshold_above"] is not None or row["threshold_to"] is not None]
        rows = sorted(rows, key=lambda row: row["threshold_above"] or 0.0)
        highest = max(row["largest_mean_gamma"] or 0.0 for row in values["grid"])
        edges = [0.0, *(1.15 * highest if row["threshold_to"] is None else row["threshold_to"] for row in rows)]
        for lines, key in ((accuracy, f"{values['split']}_accuracy"), (steps, "steps")):
            heights = [row[key] for row in rows]
            lines.append(Line(f"start {number}", edges, [*heights, *heights[-1:]], stepped=True))
    x, until = Axis("threshold of mean |γ|", low=0), Axis("steps until the exit", whole=True, low=0)
    return [Lines("", x, _accuracy(result, part), accuracy), Lines("", x, until, steps)] if accuracy else []


def layers(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart a quantity of every layer over time, one chart per run."""
    found = {label: layers_of(starts, part.of) for label, starts in measured_runs(result, part).items()}
    return [Lines(label, STEPS, RATES[part.of], over_steps(rows)) for label, rows in found.items() if rows]


def drifts(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the distance to the running mean, of every layer by step, one chart per run, on one scale."""
    found = dict[str, list[Line]]()
    for label, starts in measured_runs(result, part).items():
        each = [{name: LayerDrift(**layer) for name, layer in values["layers"].items()} for values in starts]
        driven = {name: [one[name].where_driven(one[name].distance) for one in each] for name in each[0]}
        found[label] = over_steps({name: mean_rows(rows) for name, rows in driven.items()})
    highest = max(finite(value for lines in found.values() for line in lines for value in line.y), default=0.0)
    axis = Axis("distance to the running mean (running deviations)", low=0, high=1.05 * highest or 1)
    return [Lines(label, STEPS, axis, lines) for label, lines in found.items()]


def inputs(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart what enters a norm at some steps, of the first start of each run."""
    charts = list[Chart]()
    for label, starts in measured_runs(result, part).items():
        held = LayerInputs.model_validate(starts[0]["distribution"])
        steps = [step for step in part.steps if step <= len(held.counts)]
        charts.append(inputs_chart(f"{label}: what enters {held.layer}", held, steps, "of the first start"))
    return charts


def means(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the mean of a column for every run, and every start as a point."""
    rows, styles = column_of(result, part, part.column), styles_of(result)
    entries = [
        Entry(label, mean(row.values()), points=tuple(row.values()), colour=styles[label][0])
        for label, row in rows.items()
    ]
    held = [value for row in rows.values() for value in row.values()]
    axis = _axis(result, part.column, held, logarithmic=part.logarithmic)
    return [Forest("", axis, entries, note="diamonds: means; circles: single starts")] if entries else []


def scatter(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart two columns against each other, one point per start."""
    along, up, styles = column_of(result, part, part.x), column_of(result, part, part.y), styles_of(result)
    lines = []
    for label in (label for label in along if label in up):
        seeds = sorted(along[label].keys() & up[label].keys())
        x, y = ([column[label][seed] for seed in seeds] for column in (along, up))
        lines.append(Line(label, x, y, styles[label][0], joined=False))
    held = [value for line in lines for value in line.y if value is not None]
    across = _axis(result, part.x, [value for line in lines for value in line.x], logarithmic=part.logarithmic)
    return [Lines("", across, _axis(result, part.y, held), lines, note="each mark is one start")] if lines else []


def layer_spikes(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the spikes of every layer in all steps, of the layer or of a neuron of it, on a logarithmic axis."""

    def spikes(values: Values, _: Sequence[float]) -> list[Number]:
        found = dict.fromkeys(values["layers"], 0.0)
        for row in values["steps"]:
            found[row["layer"]] += row["spikes_per_image"]
        return [n / (values["layers"][name]["neurons"] if part.per_neuron else 1) for name, n in found.items()]

    names = [list(starts[0]["layers"]) for starts in measured_runs(result, part).values()]
    note = "layers: " + ", ".join(f"{i} {name}" for i, name in enumerate(names[-1] if names else (), start=1))
    y = Axis(f"spikes per {'neuron and image' if part.per_neuron else 'image'}, all steps", scale="log")
    axes = Axis("layer", whole=True), y
    return over_starts(result, part, axes, lambda starts: range(1, 1 + len(starts[0]["layers"])), spikes, note)


def _axis(result: StudyResult, key: str, values: Sequence[float], *, logarithmic: bool = False) -> Axis:
    """Make the axis of a column: from near its points if they lie close, and open above 100 % if one is there."""
    column = next(column for column in result.study.table if column.key == key)
    unit, low, high = column.number.unit, min(values, default=0.0), max(values, default=0.0)
    label = f"{column.title or column.number.title}{f' ({unit})' if unit else ''}"
    below = low - max(high - low, 0.02 * high)
    begins = None if logarithmic or below <= 0.5 * high else below
    return Axis(
        label, scale="log" if logarithmic else "linear", low=begins, high=100 if unit == "%" and high <= 100 else None
    )


def membrane(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart one neuron's membrane and spikes, of the first start of the first run."""
    starts = next(iter(measured_runs(result, part).values()), [])
    return [NeuronResult.model_validate(values).section().charts[0] for values in starts[:1]]


def gamma_histograms(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the share of channels by γ, one chart per layer, one series per step."""
    values = next(iter(measured_runs(result, part).values()), [{}])[0]
    charts = list[Chart]()
    for name in part.layers:
        found = values.get("layers", {}).get(name, {}).get("gamma_histogram")
        if found is None:
            continue
        rows = {f"step {step}": found["counts"][step - 1] for step in part.steps if step <= len(found["counts"])}
        shares = {step: [n / sum(row) for n in row] for step, row in rows.items()}
        y = Axis("channels", percent=True, low=0)
        charts.append(Histogram(name, Axis("γ"), y, found["edges"], shares, "of the first start"))
    return charts


def surrogate(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the surrogate gradient against u/θ, of every run's recipe, each function once."""
    along, lines = [i / 50 for i in range(-50, 151)], dict[tuple[float, ...], Line]()
    for run in result.runs:
        if run.starts and (not part.runs or run.name in part.runs):
            values = surrogate_of(run.starts[0].recipe.network)(torch.tensor(along) - 1).tolist()
            lines.setdefault(tuple(values), Line(run.label, along, values))
    x, y = Axis("potential u over threshold θ"), Axis("do/du", low=0)
    return [Lines("", x, y, [*lines.values()], [Level(1.0, "threshold", "x")])] if lines else []


CHARTS: dict[str, Callable[[StudyResult, Any], list[Chart]]] = {
    "bars": means,
    "scatter": scatter,
    "over-time": over_time,
    "layers": layers,
    "layer-spikes": layer_spikes,
    "gamma-histograms": gamma_histograms,
    "surrogate": surrogate,
    "thresholds": thresholds,
    "noise": noise,
    "bounds": bounds,
    "drift": drifts,
    "inputs": inputs,
    "membrane": membrane,
}
"""Chart functions by kind of picture; they return none where a study has no numbers for it."""
SIZES = {"paper": "at the paper's setting", "small": "at the small setting"}


def figures_of(result: StudyResult) -> Iterator[tuple[str, FigureSpec, Figure]]:
    """Yield every picture that there are numbers for: its file name, the request, and the picture."""
    for number, part in enumerate(result.study.figures, start=1):
        if charts := CHARTS[part.kind](result, part):
            title = f"{part.title} ({SIZES[result.setting]})"
            yield f"{number}-{part.kind}.svg", part, Figure(title, charts)


def save_figures(result: StudyResult, folder: Path) -> list[dict[str, Any]]:
    """Draw every picture of a study; return file, title, text alternative and charts of each."""
    saved = []
    for name, part, figure in figures_of(result):
        save_figure(figure, folder / f"figure-{name}")
        alt = f"{part.alt.strip()} ({SIZES[result.setting]})"
        charts = [asdict(chart) for chart in figure.charts]
        saved.append({"file": f"figure-{name}", "title": part.title, "alt": alt, "charts": charts})
    return saved


def write_results(results: Sequence[StudyResult], out: Path) -> list[Path]:
    """Draw every result and write it into a folder of its name, as ``result.json``; return the files."""
    written = []
    for result in results:
        folder = out / (result.study.name if result.setting == "paper" else f"{result.study.name}-{result.setting}")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "result.json", as_json(result, save_figures(result, folder)))
        written.append(folder / "result.json")
    return written

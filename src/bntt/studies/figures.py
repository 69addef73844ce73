"""Pictures of a study: the numbers of every run's starts, under the run's label and in the colour of its method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from bntt.analysis.attack import AttackResult
from bntt.analysis.drift import LayerDrift, LayerInputs, inputs_chart
from bntt.analysis.neuron import NeuronResult
from bntt.charts.files import save_figure
from bntt.charts.records import (
    STEPS,
    Axis,
    Bar,
    Bars,
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
from bntt.runs.recipe.build import facts_of
from bntt.studies.plan import Start
from bntt.studies.study_file import Bars as BarsSpec
from bntt.studies.study_file import (
    Bounds,
    FigureSpec,
    GammaHistograms,
    Inputs,
    Layers,
    LayerSpikes,
    OverTime,
    Scatter,
)
from bntt.studies.study_result import StudyResult, as_json

Values = Mapping[str, Any]
Starts = Sequence[Values]
SIGMA = {"pixels": "of the pixels' range", "normalized": "in standard deviations of the pixels"}
"""Unit of σ, by where the noise is added."""
BANDS = "bands: from the lowest start to the highest"
RATES = {
    "firing_rate": Axis("firing rate", percent=True, low=0),
    "gamma_magnitude": Axis("mean |γ|", low=0),
    "spikes_per_image": Axis("spikes per image", low=0),
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


def over_time(result: StudyResult, part: OverTime) -> list[Chart]:
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


def bounds(result: StudyResult, part: Bounds) -> list[Chart]:
    """Chart accuracy against ε, the lowest of all estimators; at 0 the clean images."""

    def lowest(values: Values) -> dict[float, float]:
        record = AttackResult.model_validate(values)
        rows = record.own_rows(part.attack)
        found = dict[float, float]()
        for row in (rows or record.found)[:1]:
            found[0.0] = row.clean_accuracy
        for row in rows:
            found[row.eps_255] = min(found.get(row.eps_255, 1.0), row.accuracy)
        return found

    return over_starts(
        result,
        part,
        (Axis(f"ε of {part.attack.upper()} (1/255)"), _accuracy(result, part)),
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


def layers(result: StudyResult, part: Layers) -> list[Chart]:
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


def inputs(result: StudyResult, part: Inputs) -> list[Chart]:
    """Chart what enters a norm at some steps, of the first start of each run."""
    charts = list[Chart]()
    for label, starts in measured_runs(result, part).items():
        held = LayerInputs.model_validate(starts[0]["distribution"])
        steps = [step for step in part.steps if step <= len(held.counts)]
        charts.append(inputs_chart(f"{label}: what enters {held.layer}", held, steps, "of the first start"))
    return charts


def means(result: StudyResult, part: BarsSpec) -> list[Chart]:
    """Chart the mean of a column for every run, and every start as a point."""
    rows, styles = column_of(result, part, part.column), styles_of(result)
    entries = [
        Entry(label, mean(row.values()), points=tuple(row.values()), colour=styles[label][0])
        for label, row in rows.items()
    ]
    held = [value for row in rows.values() for value in row.values()]
    axis = near(_axis(result, part.column, logarithmic=part.logarithmic), held)
    return [Forest("", axis, entries, note="diamonds: means; circles: single starts")] if entries else []


def scatter(result: StudyResult, part: Scatter) -> list[Chart]:
    """Chart two columns against each other, one point per start."""
    along, up, styles = column_of(result, part, part.x), column_of(result, part, part.y), styles_of(result)
    lines = []
    for label in (label for label in along if label in up):
        seeds = sorted(along[label].keys() & up[label].keys())
        x, y = ([column[label][seed] for seed in seeds] for column in (along, up))
        lines.append(Line(label, x, y, styles[label][0], joined=False))
    held = [value for line in lines for value in line.y if value is not None]
    along_held = [value for line in lines for value in line.x]
    across = open_beyond(_axis(result, part.x, logarithmic=part.logarithmic), along_held)
    return [Lines("", across, near(_axis(result, part.y), held), lines, note="each mark is one start")] if lines else []


def layer_spikes(result: StudyResult, part: LayerSpikes) -> list[Chart]:
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


def folds(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the accuracy of the network and of each network it folds to: the mean, and every start as a point."""
    runs = measured_runs(result, part)
    if not runs:
        return []
    bars = []
    for name in ("the network", *next(iter(runs.values()))[0]["folds"]):
        points = [
            [v["accuracy"] if name == "the network" else v["folds"][name]["accuracy"] for v in starts]
            for starts in runs.values()
        ]
        bars.append(Bar(name, [mean(row) for row in points], points=points))
    return [Bars("", _accuracy(result, part), list(runs), bars, note="circles: single starts")]


def failures(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the share of starts that failed, by learning rate, one chart per network."""
    runs, styles = measured_runs(result, part), styles_of(result)
    shares = [(label, row) for label, starts in runs.items() for values in starts for row in values["shares"]]
    charts = list[Chart]()
    for network in dict.fromkeys(row["network"] for _, row in shares):
        lines = []
        for label in runs:
            mine = [row for of, row in shares if of == label and row["network"] == network]
            if not mine:
                continue
            rates = sorted({row["rate"] for row in mine})
            failed = [
                sum(row["failed"] for row in mine if row["rate"] == rate)
                / sum(row["starts"] for row in mine if row["rate"] == rate)
                for rate in rates
            ]
            colour, dashed = styles[label]
            lines.append(Line(label, rates, failed, colour, dashed=dashed))
        x, y = Axis("learning rate", scale="log"), Axis("starts that failed", percent=True, low=0, high=1)
        same = ((a, b) for a, b in combinations(lines, 2) if (*a.x, *a.y) == (*b.x, *b.y))
        alike = [(a.name, b.name) for a, b in same]
        charts.append(Lines(network, x, y, lines, note="; ".join(f"{a} lies under {b}" for a, b in alike)))
    return charts


def _axis(result: StudyResult, key: str, *, logarithmic: bool = False) -> Axis:
    column = next(column for column in result.study.table if column.key == key)
    unit = column.number.unit
    label = f"{column.title or column.number.title}{f' ({unit})' if unit else ''}"
    return Axis(label, scale="log" if logarithmic else "linear", high=100 if unit == "%" else None)


def open_beyond(axis: Axis, values: Sequence[float]) -> Axis:
    """Leave the end of an axis open if values are above it: a change may be more than 100 %.

    >>> open_beyond(Axis("change (%)", high=100), [130.0]).high, open_beyond(Axis("change (%)", high=100), [30.0]).high
    (None, 100)
    """
    return replace(axis, high=None) if max(values, default=0.0) > (axis.high or math.inf) else axis


def near(axis: Axis, values: Sequence[float]) -> Axis:
    """Begin an axis near its points instead of at 0, if they lie so close that they could not be told apart."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    axis = open_beyond(axis, values)
    below = low - max(high - low, 0.02 * high)
    return replace(axis, low=below) if axis.scale == "linear" and below > 0.5 * high else axis


def membrane(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart one neuron's membrane and spikes, of the first start of the first run."""
    starts = next(iter(measured_runs(result, part).values()), [])
    return [NeuronResult.model_validate(values).section().charts[0] for values in starts[:1]]


def gamma_histograms(result: StudyResult, part: GammaHistograms) -> list[Chart]:
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
    "folds": folds,
    "membrane": membrane,
    "failures": failures,
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

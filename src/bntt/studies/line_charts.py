"""Charts of a study that are lines: over time, over noise, over thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bntt.charts.axes import finite
from bntt.charts.records import STEPS, Axis, Chart, Level, Line, Lines, over_steps
from bntt.studies.numbers import Starts, layers_of, line_over_starts, mean_rows, measured_runs, styles_of
from bntt.studies.pictures import Bounds, Drifts, FigurePart, Layers, Membrane, OverTime
from bntt.studies.study_result import StudyResult

ACCURACY = Axis("test accuracy", percent=True, low=0, high=1)
BANDS = "bands: from the lowest start to the highest"
RATES = {
    "firing_rate": Axis("firing rate", percent=True, low=0),
    "gamma_magnitude": Axis("mean |γ|", low=0),
    "spikes_per_image": Axis("spikes an image", low=0),
}


def over_time(result: StudyResult, part: OverTime) -> list[Chart]:
    """Accuracy when stopped after each step."""
    styles, lines = styles_of(result), []
    for label, starts in measured_runs(result, part).items():
        rows = [values["accuracy_over_time"] for values in starts]
        lines.append(line_over_starts(label, range(1, max(map(len, rows)) + 1), rows, styles[label]))
    x = replace(STEPS, scale="log") if part.logarithmic else STEPS
    y = replace(ACCURACY, label="test accuracy when stopped after this step")
    return [Lines("", x, y, lines, note=BANDS)] if lines else []


def noise(result: StudyResult, part: FigurePart) -> list[Chart]:
    """Accuracy against σ."""
    styles, lines = styles_of(result), []
    for label, starts in measured_runs(result, part).items():
        each = [values["runs"][0]["rows"] for values in starts]
        rows = [[row["accuracy"] for row in one] for one in each]
        lines.append(line_over_starts(label, [row["sigma"] for row in each[0]], rows, styles[label]))
    return [Lines("", Axis("σ of the noise (of the pixels' range)"), ACCURACY, lines, note=BANDS)] if lines else []


def bounds(result: StudyResult, part: Bounds) -> list[Chart]:
    """Accuracy against ε, the lowest of all estimators; at 0 the clean images."""
    styles, lines = styles_of(result), []
    for label, starts in measured_runs(result, part).items():
        each = [_lowest(values, part.attack) for values in starts]
        shared = sorted(set.intersection(*(set(one) for one in each)))
        lines.append(line_over_starts(label, shared, [[one[eps] for eps in shared] for one in each], styles[label]))
    return [Lines("", Axis(f"ε of {part.attack.upper()} (1/255)"), ACCURACY, lines, note=BANDS)] if lines else []


def _lowest(values: Mapping[str, Any], attack: str) -> dict[float, float]:
    """By ε, the lowest accuracy of all estimators."""
    rows = [row for row in values["rows"] if row["attack"] == attack and not row["invalid"]]
    clean = (rows or values["rows"])[:1]
    found = {eps: row["clean_accuracy"] for eps, row in zip((0.0,), clean, strict=False)}
    for row in rows:
        found[row["eps_255"]] = min(found.get(row["eps_255"], 1.0), row["accuracy"])
    return found


def thresholds(result: StudyResult, part: FigurePart) -> list[Chart]:
    """Accuracy and steps, each a staircase over the threshold, of the starts of the first run."""
    runs = measured_runs(result, part)
    accuracy, steps = list[Line](), list[Line]()
    for number, values in enumerate(next(iter(runs.values()), ()), start=1):
        rows = [row for row in values["grid"] if row["threshold_above"] is not None or row["threshold_to"] is not None]
        rows = sorted(rows, key=lambda row: row["threshold_above"] or 0.0)
        highest = max(row["largest_mean_gamma"] or 0.0 for row in values["grid"])
        edges = [0.0, *(1.15 * highest if row["threshold_to"] is None else row["threshold_to"] for row in rows)]
        for lines, key in ((accuracy, "test_accuracy"), (steps, "steps")):
            heights = [row[key] for row in rows]
            lines.append(Line(f"start {number}", edges, [*heights, *heights[-1:]], stepped=True))
    x, until = Axis("threshold of mean |γ|", low=0), Axis("steps until the exit", whole=True, low=0)
    return [Lines("", x, ACCURACY, accuracy), Lines("", x, until, steps)] if accuracy else []


def layers(result: StudyResult, part: Layers) -> list[Chart]:
    """Something of every layer over time, a chart a run."""
    found = {label: layers_of(starts, part.of) for label, starts in measured_runs(result, part).items()}
    return [Lines(label, STEPS, RATES[part.of], over_steps(rows)) for label, rows in found.items() if rows]


def drifts(result: StudyResult, part: Drifts) -> list[Chart]:
    """Distance from the held mean, of every layer by step, a chart a run, on one scale."""
    found = {label: over_steps(_distances(starts)) for label, starts in measured_runs(result, part).items()}
    highest = max(finite(value for lines in found.values() for line in lines for value in line.y), default=0.0)
    axis = Axis("distance from the held mean (held deviations)", low=0, high=1.05 * highest or 1)
    return [Lines(label, STEPS, axis, lines) for label, lines in found.items()]


def _distances(starts: Starts) -> dict[str, Sequence[float | None]]:
    return {name: mean_rows([values["layers"][name]["distance"] for values in starts]) for name in starts[0]["layers"]}


def membrane(result: StudyResult, part: Membrane) -> list[Chart]:
    """One neuron's potential, membrane and spikes, of the first start of the first run."""
    runs = measured_runs(result, part)
    if not runs:
        return []
    values = next(iter(runs.values()))[0]
    rows = values["steps"]
    steps = [row["step"] for row in rows]
    lines = [
        Line("potential", steps, [row["potential"] for row in rows], "potential", dashed=True),
        Line("membrane after the step", steps, [row["membrane"] for row in rows], "membrane"),
    ]
    fired = [row["step"] for row in rows if row["spike"]]
    spikes = [Level(step, "" if i else "spike", "x") for i, step in enumerate(fired)]
    title = f"{values['layer']}, neuron {', '.join(map(str, values['place']))}"
    return [Lines(title, STEPS, Axis("membrane potential"), lines, [Level(values["threshold"], "threshold"), *spikes])]

"""Pictures of a study that are lines: over time, over noise, over thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from bntt.runs.figures.figures import MARKS, label_steps, layer_lines, shades
from bntt.studies.numbers import Starts, layers_of, mean_rows, measured_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bntt.studies.pictures import Bounds, Drifts, FigurePart, Layers, Membrane, OverTime
    from bntt.studies.study_result import StudyResult

LINES = ("-", "--", ":", "-.")
LIGHTEST = 0.85
"""Of a few lines' shades."""
WIDE = 4.2
"""Inches of a panel."""
Points = Sequence[tuple[float, float]]


def over_time(figure: Figure, result: StudyResult, part: OverTime) -> bool:
    """Accuracy when stopped after each step."""
    runs = measured_runs(result, part)
    axes = figure.subplots()
    lines = {
        label: list(enumerate(mean_rows([values["accuracy_over_time"] for values in starts]), start=1))
        for label, starts in runs.items()
    }
    _lines(axes, {label: [(x, 100 * y) for x, y in points] for label, points in lines.items()})
    label_steps(axes, "test accuracy when stopped after this step (%)")
    if part.logarithmic:
        axes.set_xlim(0.9, max((len(points) for points in lines.values()), default=1) * 1.1)
        axes.set_xscale("log")
    axes.set_ylim(0, 100)
    return bool(runs)


def noise(figure: Figure, result: StudyResult, part: FigurePart) -> bool:
    """Accuracy against σ."""
    runs = measured_runs(result, part)

    def points(starts: Starts) -> Points:
        rows = [values["runs"][0]["rows"] for values in starts]
        sigmas = [row["sigma"] for row in rows[0]]
        return list(zip(sigmas, mean_rows([[100 * row["accuracy"] for row in one] for one in rows]), strict=False))

    axes = figure.subplots()
    _lines(axes, {label: points(starts) for label, starts in runs.items()})
    _shares(axes, "σ of the noise (of the pixels' range)")
    return bool(runs)


def bounds(figure: Figure, result: StudyResult, part: Bounds) -> bool:
    """Accuracy against ε, the lowest of all estimators; at 0 the clean images."""
    runs = measured_runs(result, part)

    def of(values: Mapping[str, Any]) -> dict[float, float]:
        rows = [row for row in values["rows"] if row["attack"] == part.attack and not row["invalid"]]
        found = {0.0: 100 * values["rows"][0]["clean_accuracy"]} if values["rows"] else {}
        for row in rows:
            found[row["eps_255"]] = min(found.get(row["eps_255"], 100.0), 100 * row["accuracy"])
        if rows:
            found[0.0] = 100 * rows[0]["clean_accuracy"]
        return found

    def points(starts: Starts) -> Points:
        each = [of(values) for values in starts]
        shared = sorted(set.intersection(*(set(one) for one in each)))
        return [(eps, sum(one[eps] for one in each) / len(each)) for eps in shared]

    axes = figure.subplots()
    _lines(axes, {label: points(starts) for label, starts in runs.items()})
    _shares(axes, f"ε of {part.attack.upper()} (1/255)")
    return bool(runs)


def thresholds(figure: Figure, result: StudyResult, part: FigurePart) -> bool:
    """Accuracy and steps, each a staircase over the threshold, of the first start of the first run; the other starts in
    grey."""
    runs = measured_runs(result, part)
    if not runs:
        return False
    axes = figure.subplots()
    other = axes.twinx()
    for number, values in reversed(list(enumerate(next(iter(runs.values()))))):
        rows = [row for row in values["grid"] if row["threshold_above"] is not None or row["threshold_to"] is not None]
        rows = sorted(rows, key=lambda row: row["threshold_above"] or 0.0)
        highest = max(row["largest_mean_gamma"] or 0.0 for row in values["grid"])
        edges = [0.0, *(1.15 * highest if row["threshold_to"] is None else row["threshold_to"] for row in rows)]
        colours = ("C0", "C1") if number == 0 else ("0.8", "0.8")
        accuracy = [100 * row["test_accuracy"] for row in rows]
        axes.stairs(accuracy, edges, baseline=None, color=colours[0], linewidth=1.6)
        other.stairs([row["steps"] for row in rows], edges, baseline=None, color=colours[1], linestyle="--")
    axes.set_xlabel("threshold of mean |γ|")
    axes.set_ylabel("test accuracy (%)", color="C0")
    axes.grid(alpha=0.3)
    other.set_ylabel("steps until the exit (dashed)", color="C1")
    other.set_ylim(bottom=0)
    return True


def layers(figure: Figure, result: StudyResult, part: Layers) -> bool:
    """Something of every layer over time, a panel a run."""
    names = {"firing_rate": "firing rate (%)", "gamma_magnitude": "mean |γ|", "spikes_per_image": "spikes an image"}
    unit = 100.0 if part.of == "firing_rate" else 1.0
    found = {label: layers_of(starts, part.of) for label, starts in measured_runs(result, part).items()}
    found = {label: rows for label, rows in found.items() if rows}
    for axes, (label, rows) in zip(_panels(figure, len(found)), found.items(), strict=True):
        layer_lines(axes, {name: [unit * value for value in row] for name, row in rows.items()}, names[part.of])
        axes.set_title(label, fontsize=10, parse_math=False)
        axes.legend(fontsize=7, ncols=1 + (len(rows) - 1) // 8)
    return bool(found)


def drifts(figure: Figure, result: StudyResult, part: Drifts) -> bool:
    """Distance from the held mean, of every layer by step, a panel a run, on one scale."""
    runs, highest, drawn = measured_runs(result, part), 0.0, list[Any]()
    for axes, (label, starts) in zip(_panels(figure, len(runs)), runs.items(), strict=True):
        rows = {
            name: mean_rows([values["layers"][name]["distance"] for values in starts]) for name in starts[0]["layers"]
        }
        layer_lines(axes, rows, "distance from the held mean (held deviations)")
        axes.set_title(label, fontsize=10, parse_math=False)
        axes.legend(fontsize=7, ncols=1 + (len(rows) - 1) // 8)
        values = [value for row in rows.values() for value in row if isfinite(value)]
        highest, drawn = max([highest, *values]), [*drawn, axes]
    for axes in drawn:
        axes.set_ylim(0, 1.05 * highest or 1)
    return bool(runs)


def membrane(figure: Figure, result: StudyResult, part: Membrane) -> bool:
    """One neuron's potential, membrane and spikes, of the first start of the first run."""
    runs = measured_runs(result, part)
    if not runs:
        return False
    values = next(iter(runs.values()))[0]
    axes, rows = figure.subplots(), values["steps"]
    steps = [row["step"] for row in rows]
    nan = float("nan")
    axes.plot(steps, [nan if row["potential"] is None else row["potential"] for row in rows], "o--", label="potential")
    axes.plot(steps, [row["membrane"] for row in rows], "s-", markersize=4, label="membrane after the step")
    axes.axhline(values["threshold"], color="0.4", linestyle=":", label="threshold")
    for row in rows:
        if row["spike"]:
            axes.axvline(row["step"], color="C3", alpha=0.35, linewidth=4)
    axes.plot([], [], color="C3", alpha=0.35, linewidth=4, label="spike")
    axes.set_title(f"{values['layer']}, neuron {', '.join(map(str, values['place']))}", fontsize=9)
    axes.set_xlabel("time step")
    axes.set_ylabel("membrane potential")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return True


def _panels(figure: Figure, count: int) -> list[Axes]:
    if not count:
        return []
    figure.set_size_inches(max(7.0, WIDE * count), 4.2)
    return list(figure.subplots(1, count, squeeze=False).flat)


def _lines(axes: Axes, lines: Mapping[str, Points]) -> None:
    colours = shades(lines, LIGHTEST)
    for number, (label, points) in enumerate(lines.items()):
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            label=label,
            color=colours[label],
            linestyle=LINES[number % len(LINES)],
            marker=MARKS[number % len(MARKS)] if len(points) <= 40 else None,
            markersize=4,
        )
    if lines:
        for text in axes.legend(fontsize=8).get_texts():
            text.set_parse_math(False)


def _shares(axes: Axes, along: str) -> None:
    axes.set_xlabel(along)
    axes.set_ylabel("test accuracy (%)")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)

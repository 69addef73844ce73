"""Pictures of early exit: the paper's Figure 7, and when samples leave by themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bntt.analysis.exit.early_exit import envelope, stretches
from bntt.runs.measures.exits import ExitResult, threshold_told
from bntt.runs.figures.figures import label_steps, layer_lines, save_figure
from bntt.runs.measures.sample_exits import SampleExitResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 12
"""Points of accuracy that are shown."""


def save_exit(result: ExitResult, path: Path) -> None:
    """Mean |γ| over time with the threshold; accuracy and exit step against threshold; accuracy over time (Fig. 7)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rows = result.profile.where_driven("magnitude")
    layer_lines(left, rows, "mean |γ| over channels")
    if result.chosen.threshold is not None and math.isfinite(result.chosen.threshold):
        left.axhline(result.chosen.threshold, color="C3", linestyle="--", linewidth=1)
    left.axvline(result.chosen.steps, color="C3", linestyle=":", linewidth=1.2)
    left.legend(fontsize=7, ncols=1 + (len(rows) - 1) // 8)
    told = threshold_told(result.chosen.threshold, stated=result.stated)
    left.set_title(f"threshold {told}: stop after {result.chosen.steps}")
    _grid(middle, result)
    _over_time(right, result)
    how = "as stated" if result.stated else "chosen on validation"
    figure.suptitle(f"{result.dataset}: early exit read from γ, {how}", parse_math=False)
    save_figure(figure, path)


def _grid(axes: Axes, result: ExitResult) -> None:
    """Accuracy and number of steps, each a staircase over the threshold."""
    grid = stretches(result.profile)
    lines = [value for value in envelope(result.profile).tolist() if math.isfinite(value)]
    most = 1.15 * max(lines)
    edges = [min(stretch.to, most) for stretch in grid]
    accuracy = [100 * result.reported.over_time[stretch.steps - 1] for stretch in grid]
    steps = [stretch.steps for stretch in grid]
    axes.stairs(accuracy, [0.0, *edges], baseline=None, color="C0", linewidth=1.8)
    axes.set_xlabel("threshold of mean |γ|")
    axes.set_ylabel(f"{result.asked.split} accuracy (%)", color="C0")
    axes.grid(alpha=0.3)
    other = axes.twinx()
    other.stairs(steps, [0.0, *edges], baseline=None, color="C1", linestyle="--", linewidth=1.8)
    other.set_ylabel("steps until exit (dashed)", color="C1")
    other.set_ylim(0, len(result.validation.over_time) + 0.5)
    other.axvline(0.1, color="0.5", linewidth=0.8, linestyle=":")
    axes.set_title("every threshold (dotted: the paper's 0.1)")


def _over_time(axes: Axes, result: ExitResult) -> None:
    """Truncation at every step, and where the rules stop."""
    for name, accuracy, line in (
        ("validation", result.validation, "--"),
        (result.asked.split, result.reported, "-"),
    ):
        steps = range(1, len(accuracy.over_time) + 1)
        axes.plot(steps, [100 * share for share in accuracy.over_time], line, color="C0", label=name)
        if name == result.asked.split:
            break
    marks = {
        "threshold as stated" if result.stated else "chosen by γ": (result.chosen.steps, "o", "C3"),
        "truncation": (result.truncation.steps, "s", "C2"),
        "threshold 0.1": (result.paper.steps, "^", "C1"),
    }
    for name, (steps_taken, mark, colour) in marks.items():
        height = 100 * result.reported.over_time[steps_taken - 1]
        axes.plot(steps_taken, height, mark, color=colour, markersize=9, markerfacecolor="none", label=name)
    axes.legend(fontsize=8, loc="lower right")
    label_steps(axes, "accuracy when stopped after this step (%)")
    drawn = (*result.validation.over_time, *result.reported.over_time)
    _near_the_top(axes, drawn, [result.reported.over_time[found[0] - 1] for found in marks.values()])


def _near_the_top(axes: Axes, over_time: Sequence[float], marked: Sequence[float] = ()) -> None:
    """Where the choices are: the highest points of accuracy and what is marked, and not the steps in which nothing has
    arrived yet."""
    top = 100 * max(over_time)
    low = min([top - HEIGHT, *(100 * share - 0.1 * HEIGHT for share in marked)])
    axes.set_ylim(max(0.0, low), min(100.0, top + 0.1 * HEIGHT))


def save_sample_exit(result: SampleExitResult, path: Path) -> None:
    """Of every criterion when samples leave; and accuracy against mean steps, beside truncation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    width = 0.8 / max(1, len(result.exits))
    for number, (criterion, exits) in enumerate(result.exits.items()):
        places = [t + 1 + (number - (len(result.exits) - 1) / 2) * width for t in range(exits.num_steps)]
        left.bar(places, [100 * share for share in exits.distribution], width, label=criterion, color=f"C{number}")
        right.plot(
            exits.mean_steps, 100 * exits.accuracy, "oDv"[number % 3], color=f"C{number}", label=criterion, markersize=9
        )
    label_steps(left, "images that leave after this step (%)")
    left.legend(fontsize=8)
    shares = result.truncated.over_time
    right.plot(range(1, len(shares) + 1), [100 * s for s in shares], "-s", color="0.4", markersize=4, label="all alike")
    label_steps(right, f"{result.asked.split} accuracy (%)")
    right.set_xlabel("mean steps an image")
    _near_the_top(right, shares)
    right.legend(fontsize=8, loc="lower right")
    figure.suptitle(f"{result.dataset}: every image leaves when the network is sure", parse_math=False)
    save_figure(figure, path)

"""Pictures of results; the only user of matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bntt.experiments.run import RunResult


def save_overview(result: RunResult, path: Path) -> None:
    """Accuracy, mean |γ| and firing rates over time, side by side, as one PNG."""
    from matplotlib.figure import Figure

    accuracy, activity = result.evaluation.accuracy, result.evaluation.activity
    rates = {name: activity.rate(name).tolist() for name in activity.spikes}
    gamma = {name: row.tolist() for name, row in result.gamma.magnitude.items()}
    figure = Figure(figsize=(13, 4), layout="constrained")
    left, *others = figure.subplots(1, 3 if gamma else 2)
    steps = range(1, len(accuracy.over_time) + 1)
    for draw in accuracy.correct:
        left.plot(steps, [100 * hits / accuracy.images for hits in draw], color="0.7", linewidth=0.8)
    left.plot(steps, [100 * a for a in accuracy.over_time], color="C0", marker="o", markersize=3)
    left.set_title(f"{accuracy.mean:.1%} ± {accuracy.spread:.1%} after all steps")
    _label(left, "accuracy when stopped after this step (%)")
    if gamma:
        _lines(others.pop(0), gamma, "mean |γ| over channels")
    right = others.pop(0)
    _lines(right, {name: [100 * r for r in row] for name, row in rates.items()}, "firing rate (%)")
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.suptitle(f"{result.dataset}, {result.split}: {accuracy.images:,} images, {len(accuracy.correct)} draws")
    figure.savefig(path, dpi=110)


def _lines(axes: Axes, rows: dict[str, list[float]], title: str) -> None:
    """One line a layer, from dark (first) to light (last)."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"]
    for i, (name, row) in enumerate(rows.items()):
        colour = colours(0.9 * i / max(1, len(rows) - 1))
        axes.plot(range(1, len(row) + 1), row, label=name, color=colour, marker="o", markersize=3)
    _label(axes, title)


def _label(axes: Axes, what: str) -> None:
    axes.set_xlabel("time step")
    axes.set_ylabel(what)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)

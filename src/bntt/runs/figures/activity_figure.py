"""Pictures of spikes and of γ: the paper's Figures 1C, 4, 5 and 6."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from bntt.runs.figures.figures import label_steps, layer_lines, save_figure, shades
from bntt.runs.measures.activity import ActivityResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def save_activity(result: ActivityResult, path: Path) -> None:
    """Firing rate over time; spikes of each layer on a logarithmic axis (Fig. 5); spikes of each layer by class."""
    from matplotlib.figure import Figure

    total = result.counted.total
    figure = Figure(figsize=(15, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 1, 1.3))
    layer_lines(left, {name: (100 * total.rate(name)).tolist() for name in total.spikes}, "firing rate (%)")
    left.legend(fontsize=7, ncols=1 + (len(total.spikes) - 1) // 10)
    _by_layer(middle, result)
    _by_class(right, result)
    seen = f"{result.split}: {result.images:,} images, {result.draws} draw{'s' if result.draws > 1 else ''}"
    text = f"{result.dataset}, {seen}: {total.spikes_per_sample():,.0f} spikes an image"
    figure.suptitle(text, parse_math=False)
    save_figure(figure, path)


def _by_layer(axes: Axes, result: ActivityResult) -> None:
    total = result.counted.total
    names = list(total.spikes)
    heights = [float(total.spikes[name].sum()) / total.presentations for name in names]
    axes.bar(range(len(names)), heights, color=list(shades(names).values()))
    if max(heights) > 0:
        axes.set_yscale("log")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_ylabel("spikes an image, all steps")
    axes.grid(alpha=0.3, axis="y")


def _by_class(axes: Axes, result: ActivityResult) -> None:
    """Relative to the layer's mean: few layers would be seen otherwise."""
    by_class = {name: rows.sum(1) for name, rows in result.counted.by_class.items()}
    table = [(rows / rows.mean().clamp(min=1e-12)).tolist() for rows in by_class.values()]
    shown = axes.imshow(table, aspect="auto", cmap="cividis")
    axes.set_yticks(range(len(table)), list(by_class), fontsize=8)
    if len(result.classes) <= 20:
        axes.set_xticks(range(len(result.classes)), result.classes, rotation=90, fontsize=8, parse_math=False)
    else:
        axes.set_xlabel("class")
    axes.figure.colorbar(shown, ax=axes, label="spikes, relative to the layer's mean")


def save_gamma(result: ActivityResult, path: Path) -> None:
    """Of every layer, how γ is spread over its channels at each step, its mean, and σ̄ (Fig. 4 and 6).

    Raises:
        ValueError: if no layer has a γ for each step.
    """
    from matplotlib.figure import Figure

    if not result.spread:
        raise ValueError("no layer has a γ for each step: there is nothing to draw")
    wide = min(4, len(result.spread) + 1)
    high = math.ceil((len(result.spread) + 1) / wide)
    figure = Figure(figsize=(3.7 * wide, 3.2 * high), layout="constrained")
    places = list(figure.subplots(high, wide, squeeze=False).flat)
    for name in result.spread:
        _spread(places.pop(0), result, name)
    rows = result.gamma.where_driven("magnitude")
    layer_lines(places[0], rows, "mean |γ|")
    places[0].legend(fontsize=6, ncols=1 + (len(rows) - 1) // 8)
    for place in places[1:]:
        place.axis("off")
    figure.suptitle("γ over time: channels (shaded), mean (solid), mean σ̄ (dashed, right axis)")
    save_figure(figure, path)


def _spread(axes: Axes, result: ActivityResult, name: str) -> None:
    spread, steps = result.spread[name], len(result.spread[name].counts)
    shares = (spread.counts.T / spread.counts.sum(1)).tolist()
    low, high = float(spread.edges[0]), float(spread.edges[-1])
    axes.imshow(
        shares, origin="lower", aspect="auto", extent=(0.5, steps + 0.5, low, high), cmap="Greys", vmin=0, vmax=0.5
    )
    axes.plot(range(1, steps + 1), result.gamma.signed[name].tolist(), color="C0", marker="o", markersize=3)
    label_steps(axes, "γ")
    axes.set_ylim(min(0.0, low), high)
    driven = result.gamma.driven[name]
    for t in range(steps):
        if t not in driven:
            axes.axvspan(t + 0.5, t + 1.5, color="C3", alpha=0.12, linewidth=0)
    other = axes.twinx()
    other.plot(range(1, steps + 1), result.gamma.deviation[name].tolist(), "--", color="C1")
    other.set_ylim(0, 1.05 * float(result.gamma.deviation[name].max()))
    axes.set_title(name, fontsize=10)

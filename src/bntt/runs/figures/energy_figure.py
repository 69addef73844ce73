"""A picture of what a network does, and of what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bntt.runs.measures.energy import EnergyResult, counted, energy_rows, layer_rows, readable
from bntt.runs.figures.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ADDED, MULTIPLIED, OTHER = "#fde725", "#21918c", "#440154"
"""Viridis: light, middle, dark; they differ in grey too."""
HATCH = "///"
"""Of an ANN."""
FEW = 12
"""Layers whose names find room side by side."""


def save_energy(result: EnergyResult, path: Path) -> None:
    """Operations of every layer beside an ANN's, and what one image costs by every table, as one PNG."""
    from matplotlib.figure import Figure

    weighted = sum(layer.dense > 0 for layer in result.operations.layers.values())
    wide = 3.2 + (0.75 if weighted <= FEW else 0.45) * weighted
    widths = [wide, *[1.6 + 0.6 * _bars(result, name) for name in result.tables]]
    figure = Figure(figsize=(sum(widths), 4.6), layout="constrained")
    left, *others = figure.subplots(1, len(widths), width_ratios=widths)
    _operations(left, result)
    for axes, name in zip(others, result.tables, strict=True):
        _energy(axes, result, name)
    found = result.operations.accuracy
    accuracy = ", ".join(f"{found.over_time[steps - 1]:.1%} after {counted(steps)}" for steps in result.stops)
    figure.suptitle(f"{result.dataset}, {result.split}: {found.samples:,} images, {accuracy}", parse_math=False)
    figure.supxlabel(
        "by spike: k spikes in a pooled value are k additions; by value: one multiply-accumulate", fontsize=8
    )
    save_figure(figure, path)


def _operations(axes: Axes, result: EnergyResult) -> None:
    """Three bars a layer: by spike, by value, and an ANN's."""
    rows = [row for row in layer_rows(result) if row["steps"] == result.stops[0] and row["ann_macs"]]
    for at, row in enumerate(rows):
        for place, (additions, macs, hatch) in enumerate(
            (
                (row["additions_by_spike"], row["macs_by_spike"], None),
                (row["additions_by_value"], row["macs_by_value"], None),
                (0.0, row["ann_macs"], HATCH),
            )
        ):
            x = at + 0.27 * (place - 1)
            axes.bar(x, additions / 1e6, 0.25, color=ADDED, edgecolor="black", linewidth=0.5)
            bar: dict[str, Any] = {"color": MULTIPLIED, "edgecolor": "black", "linewidth": 0.5, "hatch": hatch}
            axes.bar(x, macs / 1e6, 0.25, bottom=additions / 1e6, **bar)
    from matplotlib.patches import Patch

    kinds = (("additions", ADDED, None), ("multiply-accumulates", MULTIPLIED, None), ("of an ANN", MULTIPLIED, HATCH))
    handles = [Patch(facecolor=colour, edgecolor="black", hatch=hatch, label=label) for label, colour, hatch in kinds]
    axes.legend(handles=handles, fontsize=8)
    turned: dict[str, Any] = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if len(rows) > FEW else {}
    axes.set_xticks(range(len(rows)), [row["layer"] for row in rows], fontsize=8, parse_math=False, **turned)
    axes.set_ylabel("operations for one image (millions)")
    most = max(max(row["additions_by_spike"] + row["macs_by_spike"], row["ann_macs"]) for row in rows)
    axes.set_ylim(0, 1.05 * most / 1e6)
    axes.set_title(f"left to right: by spike, by value ({counted(result.stops[0])}), ANN", fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _bars(result: EnergyResult, name: str) -> int:
    rows = [row for row in energy_rows(result) if row["costs"] == name]
    return len(rows) + (rows[0]["ann"] is not None)


def _named(row: Mapping[str, Any]) -> str:
    by = "" if row["price"] == "either" else f",\nby {row['price'][:-1]}"
    return f"{counted(row['steps'])}{by}"


def _energy(axes: Axes, result: EnergyResult, name: str) -> None:
    rows = [row for row in energy_rows(result) if row["costs"] == name]
    bars: list[tuple[str, Any, Any, str | None]] = [
        (_named(row), row["snn_synaptic"], row["snn_other"], None) for row in rows
    ]
    if rows[0]["ann"] is not None:
        bars.append(("ANN", rows[0]["ann_synaptic"], rows[0]["ann_other"], HATCH))
    scale, unit = readable(max(synaptic + other for _, synaptic, other, _ in bars), rows[0]["unit"])
    timed = rows[0]["ann"] is None
    for at, (_, synaptic, other, hatch) in enumerate(bars):
        options: dict[str, Any] = {"width": 0.7, "edgecolor": "black", "linewidth": 0.5, "hatch": hatch}
        labels = ("spikes" if timed else "synaptic", "time" if timed else "norm, leak, threshold, reset")
        kept = labels if at == 0 else (None, None)
        axes.bar(at, synaptic * scale, color=MULTIPLIED, label=kept[0], **options)
        axes.bar(at, other * scale, bottom=synaptic * scale, color=OTHER, label=kept[1], **options)
        axes.annotate(f"{(synaptic + other) * scale:.4g}", (at, (synaptic + other) * scale), ha="center", va="bottom")
    axes.set_xticks(range(len(bars)), [label for label, *_ in bars], fontsize=7)
    axes.set_ylabel(f"energy of one image ({unit})", parse_math=False)
    axes.set_title(name, fontsize=10, parse_math=False)
    axes.margins(y=0.22)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7, loc="upper left")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)

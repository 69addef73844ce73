"""A grid of starts as a picture: which failed, what gradients they had, and how far these kept their promise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bntt.runs.figures.figures import MARKS, save_figure, shades, whole_numbers
from bntt.runs.measures.stability import failures
from bntt.runs.measures.stability_cell import Cell, Moment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

LINES = ("-", "--", ":", "-.")
LIGHTEST = 0.85
"""Of a few lines' shades."""
WIDTH = 4.3
"""Inches of a panel."""


def save_stability(cells: Sequence[Cell], path: Path) -> None:
    """Three rows as one PNG: the share of starts that failed against the learning rate, for each network; then, of one
    network and rate, the gradient norm of each layer and step, and the loss along the gradient, for each norm.

    These are the last network's, at the largest rate at which the first starts of most norms trained to the end.

    Raises:
        ValueError: if there is no cell.
    """
    from matplotlib.figure import Figure

    if not cells:
        raise ValueError("there is no start to draw")
    networks = list(dict.fromkeys(cell.network for cell in cells))
    norms = list(dict.fromkeys(cell.norm for cell in cells))
    shown = _shown(cells, networks[-1])
    wide = max(len(networks), len(norms), 2)
    figure = Figure(figsize=(WIDTH * wide, 10.5), layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False).flat
    for axes, network in zip(_panels(top, len(networks)), networks, strict=True):
        _shares(axes, cells, network, norms)
    first = next(iter(shown.values()))
    which = f"{first.network}, learning rate {first.rate:g}, first start"
    top.suptitle(f"starts that failed in {max(cell.updates for cell in cells)} updates", parse_math=False)
    middle.suptitle(f"gradient towards the synaptic current when last measured ({which})", parse_math=False)
    _gradients(middle, shown)
    bottom.suptitle(f"loss along the gradient of one batch: true, and as the gradient promises ({which})")
    every = [loss for cell in shown.values() for m in cell.moments for loss in (m.along.start, *m.along.loss)]
    highest = max((loss for loss in every if math.isfinite(loss)), default=1.0)
    for axes, (norm, cell) in zip(_panels(bottom, len(shown)), shown.items(), strict=True):
        _along(axes, norm, cell.moments, cell.rate)
        axes.set_ylim(0, 1.05 * highest)
    save_figure(figure, path)


def _panels(part: SubFigure, count: int) -> list[Axes]:
    return list(part.subplots(1, count, squeeze=False).flat)


def _shown(cells: Sequence[Cell], network: str) -> dict[str, Cell]:
    """Of each norm the first start at one rate."""
    first = [cell for cell in cells if cell.network == network and cell.start == 0]
    trained: dict[float, int] = {}
    for cell in first:
        trained[cell.rate] = trained.get(cell.rate, 0) + (not cell.failed)
    rate = max(trained, key=lambda rate: (trained[rate], rate))
    return {cell.norm: cell for cell in first if cell.rate == rate}


def _shares(axes: Axes, cells: Sequence[Cell], network: str, norms: Sequence[str]) -> None:
    """Lines that lie on each other are moved apart a little."""
    found, colours = failures(cells), shades(norms, LIGHTEST)
    rates = sorted({rate for of, _, rate in found if of == network})
    for i, norm in enumerate(norms):
        points = [(rate, found[network, norm, rate]) for rate in rates if (network, norm, rate) in found]
        apart = 1.2 * (i - (len(norms) - 1) / 2)
        axes.plot(
            [rate for rate, _ in points],
            [100 * failed / starts + apart for _, (failed, starts) in points],
            label=norm,
            color=colours[norm],
            linestyle=LINES[i % len(LINES)],
            marker=MARKS[i % len(MARKS)],
        )
    axes.set_xscale("log")
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.minorticks_off()
    axes.set_ylim(-6, 106)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("starts that failed (%)")
    axes.set_title(f"{network}, {max(starts for _, starts in found.values())} starts each", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, title="norm")


def _gradients(part: SubFigure, shown: Mapping[str, Cell]) -> None:
    """One scale for all norms, from the smallest gradient to the largest."""
    from matplotlib.colors import LogNorm

    last = {norm: cell.moments[-1] for norm, cell in shown.items()}
    values = [v for m in last.values() for row in m.gradient.values() for v in row if v > 0 and math.isfinite(v)]
    scale = LogNorm(min(values), max(values)) if values and max(values) > min(values) else None
    panels, drawn = _panels(part, len(last)), None
    for axes, (norm, moment) in zip(panels, last.items(), strict=True):
        rows = list(moment.gradient.values())
        grid = [[v if v > 0 and math.isfinite(v) else math.nan for v in row] for row in rows]
        steps = len(grid[0]) if grid else 0
        drawn = axes.imshow(grid, aspect="auto", norm=scale, extent=(0.5, steps + 0.5, len(rows) - 0.5, -0.5))
        axes.set_facecolor("0.85")  # no gradient at all
        axes.set_yticks(range(len(rows)), list(moment.gradient))
        whole_numbers(axes, 1, steps)
        axes.set_xlabel("time step")
        axes.set_title(f"{norm}, after {moment.updates} updates", fontsize=10)
    if drawn is not None:
        part.colorbar(drawn, ax=panels, label="gradient norm (grey: none)")


def _along(axes: Axes, norm: str, moments: Sequence[Moment], rate: float) -> None:
    colours = shades([str(moment.updates) for moment in moments], LIGHTEST)
    for i, moment in enumerate(moments):
        along, colour = moment.along, colours[str(moment.updates)]
        far = [0.0, *(eta / rate for eta in along.steps)]
        axes.plot(
            far,
            [along.start, *along.loss],
            color=colour,
            marker=MARKS[i % len(MARKS)],
            label=f"after {moment.updates} updates",
        )
        axes.plot(far, [along.start, *along.predicted], color=colour, linestyle="--", linewidth=0.9)
    axes.plot([], [], color="0.4", linestyle="--", linewidth=0.9, label="as promised")
    axes.set_xlabel("distance along the gradient (learning rates)")
    axes.set_ylabel("loss")
    axes.set_title(norm, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)

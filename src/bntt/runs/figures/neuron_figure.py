"""One neuron as a picture, like the paper's Figure 2."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bntt.analysis.neuron.trajectory import NeuronTrace
from bntt.ops.lif import fire_after
from bntt.runs.figures.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARK, LIGHT = "#443983", "#c44e00"
"""Of what the neuron does, and of its spikes: apart also without colours, in shade."""


def save_neuron(trace: NeuronTrace, path: Path, title: str = "") -> None:
    """Membrane and spikes over time beside the surrogate gradient, on which the neuron's steps are marked, as one PNG.

    In ``fire_after`` a spike is drawn as the fall from its potential to the membrane that the reset leaves.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    _over_time(left, trace)
    _surrogate(right, trace)
    where = f"{trace.layer}, neuron {', '.join(map(str, trace.place))}"
    figure.suptitle(f"{where}: {title}" if title else where, parse_math=False)
    save_figure(figure, path)


def _over_time(axes: Axes, trace: NeuronTrace) -> None:
    from matplotlib.ticker import MaxNLocator

    membrane, potential = trace.membrane.tolist(), trace.potential.tolist()
    at, height, falls = [0.0], [0.0], trace.neuron.rule is fire_after
    for t, (before, after) in enumerate(zip(potential, membrane, strict=True), start=1):
        seen = [before, after] if falls and not math.isnan(before) else [after]
        at, height = at + [t] * len(seen), height + seen
    fired = [t + 1 for t in trace.spikes.nonzero().flatten().tolist()]
    axes.plot(at, height, color=DARK, label="membrane potential")
    axes.plot(range(1, len(membrane) + 1), membrane, "o", color=DARK, markersize=3, label="after the step")
    axes.axhline(trace.neuron.threshold, color="0.4", linestyle="--", linewidth=0.9, label="threshold")
    top = max([trace.neuron.threshold, *height])
    low = min([0.0, *height])
    line = top + 0.12 * (top - low)
    axes.plot(fired, [line] * len(fired), "|", color=LIGHT, markersize=14, markeredgewidth=2, label="spike")
    axes.set_ylim(low - 0.05 * (top - low), top + 0.22 * (top - low))
    axes.set_xlim(0, len(membrane) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlabel("time step")
    axes.set_ylabel("membrane potential")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4)


def _surrogate(axes: Axes, trace: NeuronTrace) -> None:
    threshold = trace.neuron.threshold
    known = [(u, slope) for u, slope in zip(trace.potential.tolist(), trace.gradient.tolist(), strict=True) if u == u]
    low = min([-0.5 * threshold, *(u for u, _ in known)])
    high = max([2.5 * threshold, *(u for u, _ in known)])
    u = torch.linspace(low, high, 501)
    axes.plot(u.tolist(), trace.neuron.surrogate(u / threshold - 1).tolist(), color=DARK, label="surrogate do/du")
    at, slopes = [u for u, _ in known], [slope for _, slope in known]
    axes.plot(at, slopes, "o", color=LIGHT, markersize=5, clip_on=False, label="the neuron's steps")
    axes.axvline(threshold, color="0.4", linestyle="--", linewidth=0.9, label="threshold")
    axes.set_xlabel("potential that the spike is decided on")
    axes.set_ylabel("surrogate gradient do/du")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)

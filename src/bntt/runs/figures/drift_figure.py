"""Drift as a picture, like the paper's Figure 3."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bntt.runs.measures.drift import DriftResult
from bntt.runs.figures.figures import MARKS, from_zero, save_figure, shades, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from bntt.analysis.drift.input_drift import LayerDrift, LayerInputs

LINES = ("-", "--", ":")


def save_drift(result: DriftResult, path: Path) -> None:
    """The distribution of what enters a layer at its first, middle and last driven step, against what the layer holds;
    and for every layer and step the distance of the means, the ratio of the deviations and the divergence; as one PNG.

    Where layers hold statistics for each step, the distance is drawn once more as it would be if they did not.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.4), layout="constrained")
    distribution, distance, ratio, divergence = figure.subplots(2, 2).flat
    layers = result.layers
    _distribution(distribution, result.inputs, layers[result.inputs.layer])
    _lines(distance, layers, "distance", "distance of means (held deviations)")
    distance.set_title("mean of the input, from the held one", fontsize=10)
    if any(not torch.equal(layer.distance, layer.if_shared) for layer in layers.values()):
        _lines(distance, layers, "if_shared", "distance of means (held deviations)", linestyle=":", alpha=0.7)
        distance.set_title("mean of the input, from the held one (dotted: if one served all steps)", fontsize=10)
    _lines(ratio, layers, "ratio", "input's deviation / held deviation")
    ratio.axhline(1, color="0.4", linestyle="--", linewidth=0.9)
    ratio.set_title("deviation of the input, over the held one", fontsize=10)
    _lines(divergence, layers, "divergence", "divergence KL (nats)")
    divergence.set_title("input as a Gaussian, from the held one", fontsize=10)
    names = [line for line in ratio.get_lines() if not str(line.get_label()).startswith("_")]
    figure.legend(handles=names, loc="outside right center", fontsize=8, title="layers")
    figure.suptitle(f"{result.norm}: {result.dataset}, {result.split}, {result.images:,} images", parse_math=False)
    save_figure(figure, path)


def shown_steps(driven: range, steps: int) -> list[int]:
    """The first, the middle and the last of the steps that are driven; of all where none is.

    >>> shown_steps(range(0, 25), 25), shown_steps(range(1, 3), 4), shown_steps(range(0), 1)
    ([0, 12, 24], [1, 2], [0])
    """
    of = driven or range(steps)
    return sorted({of[0], of[(len(of) - 1) // 2], of[-1]})


def _distribution(axes: Axes, inputs: LayerInputs, layer: LayerDrift) -> None:
    density, middles = inputs.density, [(a + b) / 2 for a, b in pairwise(inputs.edges)]
    held = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in middles]
    axes.fill_between(middles, held, color="0.85", label="held: mean 0, deviation 1")
    colours = list(shades(LINES).values())
    for i, t in enumerate(shown_steps(layer.driven, len(density))):
        axes.plot(middles, density[t].tolist(), color=colours[i], linestyle=LINES[i], label=f"step {t + 1}")
    axes.set_xlabel("(input - held mean) / held deviation")
    axes.set_ylabel("density")
    axes.set_xlim(-4, 4)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.set_title(f"what enters {inputs.layer}", fontsize=10, parse_math=False)
    axes.legend(fontsize=8)


def _lines(axes: Axes, layers: Mapping[str, LayerDrift], field: str, label: str, **style: Any) -> None:
    colours, steps = shades(layers), 1
    for i, (name, layer) in enumerate(layers.items()):
        row = getattr(layer, field).tolist()
        steps, look = len(row), {"color": colours[name], "marker": MARKS[i % len(MARKS)], "markersize": 4} | style
        axes.plot([t + 1 for t in layer.driven], [row[t] for t in layer.driven], label=name, **look)
    axes.set_xlabel("time step")
    axes.set_ylabel(label)
    from_zero(axes)
    whole_numbers(axes, 1, steps)
    axes.grid(alpha=0.3)

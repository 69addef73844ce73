"""One sample as a picture: what the first layer gets, step by step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from bntt.runs.figures.figures import save_figure
from bntt.runs.recipe.first_sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MORE, LESS = (0.85, 0.37, 0.0), (0.0, 0.27, 0.70)
"""Orange for brighter or positive, blue for darker or negative: apart for every eye; both together are dark."""
PER_ROW = 10
MOST_STEPS = 40
"""Frames that are drawn; of more, so many at equal distances."""


def save_sample(sample: Sample, path: Path) -> None:
    """The image beside its spikes, the frames with both polarities, or the values of a sequence, as one PNG.

    Args:
        path: of the PNG.
    """
    code = "" if sample.encoder in ("frames", "sequence") else f", {sample.encoder} code"
    title = f"{sample.dataset}, {sample.split} {sample.index}: {sample.label}{code}"
    figure = _sequence(sample) if sample.drive.ndim == 2 else _frames(sample)
    figure.suptitle(title, parse_math=False)
    save_figure(figure, path)


def _frames(sample: Sample) -> Figure:
    """A grid of steps, as wide as ten; an image and the mean of its steps come first."""
    from matplotlib.figure import Figure

    steps, drive = _shown(len(sample.drive)), sample.drive
    first = 2 if sample.is_image else 0
    panels = len(steps) + first
    columns = min(panels, PER_ROW)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(1.35 * columns + 0.8, 1.62 * rows + 1.1), layout="constrained")
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    largest = max(1.0, float(drive.abs().max()))
    if sample.is_image:
        places[0].imshow(sample.given.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1)
        places[0].set_title("image", fontsize=8)
        _coloured(places[1], _planes(sample, drive.mean(0)), largest)
        places[1].set_title(f"mean of {len(drive)} steps", fontsize=8)
    for axes, t in zip(places[first:], steps, strict=False):
        _coloured(axes, _planes(sample, drive[t]), largest)
        count = "" if sample.is_image else f"\n{int(drive[t].sum()):,} events"
        axes.set_title(f"step {t + 1}{count}", fontsize=8)
    for axes in places:
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in places[panels:]:
        axes.set_visible(False)
    _legend(figure, sample, largest)
    return figure


def _shown(steps: int) -> list[int]:
    """Which steps are drawn."""
    if steps <= MOST_STEPS:
        return list(range(steps))
    return [round(number * (steps - 1) / (MOST_STEPS - 1)) for number in range(MOST_STEPS)]


def _planes(sample: Sample, drive: Tensor) -> tuple[Tensor, Tensor]:
    """What is drawn in either colour, ``[H, W]``: polarities, or what is above and below 0, meant over channels."""
    if sample.is_image:
        return drive.clamp(min=0).mean(0), drive.clamp(max=0).neg().mean(0)
    return drive[1], drive[0]


def _coloured(axes: Axes, planes: tuple[Tensor, Tensor], largest: float) -> None:
    """White where nothing is; the darker a colour, the more, by the square root."""
    more, less = ((plane / largest).sqrt().clamp(0, 1).numpy()[..., None] for plane in planes)
    shade = (1 - more * (1 - np.array(MORE))) * (1 - less * (1 - np.array(LESS)))
    axes.imshow(shade, interpolation="nearest")


def _legend(figure: Figure, sample: Sample, largest: float) -> None:
    from matplotlib.patches import Patch

    names = ("above 0", "below 0") if sample.is_image else ("brighter (polarity 1)", "darker (polarity 0)")
    said = f"full colour: {largest:.3g} {'in every channel' if sample.is_image else 'events in a cell'}"
    size = "x".join(map(str, sample.drive.shape[-2:]))
    patches = [Patch(color=colour, label=name) for colour, name in zip((MORE, LESS), names, strict=True)]
    patches.append(Patch(color="white", label=f"{said}; {size}, T = {len(sample.drive)}"))
    figure.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _sequence(sample: Sample) -> Figure:
    """One feature a step is a curve, more are an image: steps across, features down."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes, values = figure.subplots(), sample.drive
    if values.shape[1] == 1:
        axes.plot(range(1, len(values) + 1), values[:, 0].tolist(), color=LESS, linewidth=0.9, label="value")
        axes.set_ylabel("value")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper right")
    else:
        extent = (0.5, len(values) + 0.5, values.shape[1] - 0.5, -0.5)
        shown = axes.imshow(values.T.numpy(), cmap="cividis", aspect="auto", interpolation="nearest", extent=extent)
        axes.set_ylabel("feature")
        figure.colorbar(shown, ax=axes, label="value")
    axes.set_xlabel("time step")
    return figure

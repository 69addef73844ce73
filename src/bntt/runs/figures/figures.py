"""What pictures of measurements share, and how they are written: whole or not at all."""

from __future__ import annotations

import io
import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bntt.io.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
"""By which lines that are compared are told apart without colours."""
FEW = 40
"""Points of a line that are marked, each by itself; of more, the line says enough."""


def layer_lines(axes: Axes, rows: dict[str, list[float]], title: str) -> None:
    """A line over time for every layer, in its shade; what is NaN is left open."""
    for (name, row), colour in zip(rows.items(), shades(rows).values(), strict=True):
        axes.plot(range(1, len(row) + 1), row, label=name, color=colour, marker=_dots(len(row)), markersize=3)
    label_steps(axes, title)


def _dots(points: int) -> str:
    """The mark of every point, where there are not too many."""
    return "o" if points <= FEW else ""


def shades(layers: Collection[str], lightest: float = 0.9) -> dict[str, Any]:
    """A colour for every layer, from dark (first) to light (last)."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"]
    return {name: colours(lightest * i / max(1, len(layers) - 1)) for i, name in enumerate(layers)}


def label_steps(axes: Axes, what: str) -> None:
    """Name an axis over time steps, counted from 1, and what is shown, from 0 on."""
    axes.set_xlabel("time step")
    axes.set_ylabel(what)
    axes.grid(alpha=0.3)
    from_zero(axes)
    whole_numbers(axes, 1, round(max(1.0, axes.dataLim.x1)))


def from_zero(axes: Axes, *drawn: Axes) -> None:
    """An axis that begins at 0 and ends above what is drawn in it, or in all of these; at 1 where nothing is."""
    top = max(one.dataLim.y1 for one in drawn or (axes,))
    axes.set_ylim(0, 1.05 * top if 0 < top < math.inf else 1)


def whole_numbers(axes: Axes, first: int, last: int) -> None:
    """An axis that counts: no halves between few epochs or steps."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlim(first - 0.5, last + 0.5)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture whole or not at all, a PNG or what else its name ends in; an SVG without its date."""
    drawn, kind = io.BytesIO(), path.suffix.removeprefix(".").lower() or "png"
    figure.savefig(drawn, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    write_whole(path, drawn.getvalue())

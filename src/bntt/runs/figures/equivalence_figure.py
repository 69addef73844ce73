"""The picture of the paper's equivalence: where folded networks fire otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bntt.runs.measures.equivalence import FED, RunEquivalence
from bntt.runs.figures.figures import MARKS, from_zero, save_figure, shades, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

    from bntt.analysis import Equivalence

TITLES = {
    "exact": "exact fold (float32: ties differ)",
    "no mean": "without the mean (Eq. 12)",
    "no ratio": "without the ratio in the leak (Eq. 13)",
    "Eq. 15": "without both (Eq. 15)",
}


def save_equivalence(result: RunEquivalence, path: Path) -> None:
    """Differing spikes by layer and step of the four folded networks, fed with true and with their own spikes; and the
    network's firing rate beside them, as one PNG."""
    from matplotlib.figure import Figure

    found = result.found
    figure = Figure(figsize=(17, 7), layout="constrained")
    places = figure.subplots(2, len(found.folds) + 1, sharex=True)
    for row, (fed, what) in zip(places, FED.items(), strict=True):
        for axes, (name, fold) in zip(row, found.folds.items(), strict=False):
            _lines(axes, found, getattr(fold, fed))
            means = [found.mean(name, fed, layer) for layer in found.rate if found.heard[layer]]
            told = f"mean {100 * sum(means) / len(means):.2g}%" if means else "no layer is heard"
            if fed == "own":
                told += f"\naccuracy {fold.accuracy:.1%}, same answer {fold.agreement:.1%}"
                axes.set_xlabel("time step")
            axes.set_title(f"{TITLES[name]}\n{told}" if fed == "true" else told, fontsize=9)
        row[0].set_ylabel(f"neurons that fire otherwise (%)\n{what}")
    folds = [axes for row in places for axes in row[:-1]]
    for axes in folds:
        from_zero(axes, *folds)
    rate, key = places[:, -1]
    _lines(rate, found, found.rate)
    rate.set_ylim(bottom=0)
    rate.set_title("the network itself:\nneurons that fire (%)", fontsize=9)
    rate.set_xlabel("time step")
    rate.tick_params(labelbottom=True)
    key.axis("off")
    key.legend(*rate.get_legend_handles_labels(), loc="center left", title="layers", alignment="left")
    figure.suptitle(
        f"{result.dataset}, {result.split}: {found.samples:,} images; accuracy of the network {found.accuracy:.1%}",
        parse_math=False,
    )
    save_figure(figure, path)


def _lines(axes: Axes, found: Equivalence, rows: dict[str, Tensor]) -> None:
    """Only the steps in which a layer should fire and is heard."""
    for i, ((layer, row), colour) in enumerate(zip(rows.items(), shades(rows).values(), strict=True)):
        steps, marker = found.heard[layer], MARKS[i % len(MARKS)]
        values = [100 * float(row[t]) for t in steps]
        axes.plot([t + 1 for t in steps], values, label=layer, color=colour, marker=marker, markersize=4, linewidth=1)
    whole_numbers(axes, 1, len(next(iter(rows.values()))))
    axes.grid(alpha=0.3)

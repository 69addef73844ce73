"""Accuracy on noisy images as a picture, like the paper's Figure 8A."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bntt.runs.figures.figures import MARKS, save_figure, shades
from bntt.runs.measures.robust import RobustResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ("-", "--", "-.", ":")
LIGHTEST = 0.85
"""Of a few lines' shades."""
UNITS = {"pixels": "1 = the range of the pixels", "normalized": "1 = a deviation of the pixels"}


def save_robust(result: RobustResult, path: Path) -> None:
    """Accuracy against σ with its interval, a line a run; the first run by number of steps; and, where there are
    others, their differences to the first on the same images and noise; as one PNG.
    """
    from matplotlib.figure import Figure

    several = len(result.runs) > 1
    figure = Figure(figsize=(16 if several else 11, 4.6), layout="constrained")
    left, middle, *rest = figure.subplots(1, 3 if several else 2)
    _accuracy(left, result)
    _by_steps(middle, result)
    if several:
        _differences(rest[0], result)
    for axes in (left, middle, *rest):
        axes.set_xlabel(f"σ of the noise ({UNITS[result.asked.where]})")
        axes.grid(alpha=0.3)
    clipped = "clipped" if result.asked.clip else "not clipped"
    draws = max(len(row.accuracy.correct) for run in result.runs for row in run.rows)
    images = f"{result.dataset}, {result.asked.split} images: {result.chosen}"
    said = f"{images}; Gaussian noise, {clipped}, {draws} draw{'s' * (draws > 1)}"
    figure.suptitle(said, parse_math=False)
    save_figure(figure, path)


def shown_steps(steps: int, most: int = 5) -> list[int]:
    """Some numbers of steps, evenly apart, up to all.

    >>> shown_steps(25), shown_steps(3), shown_steps(8)
    ([5, 10, 15, 20, 25], [1, 2, 3], [2, 3, 5, 6, 8])
    """
    return sorted({max(1, round(steps * part / most)) for part in range(1, most + 1)})


def _accuracy(axes: Axes, result: RobustResult) -> None:
    for number, run in enumerate(result.runs):
        _line(axes, result, number, [(row.sigma, row.accuracy.mean, row.accuracy.interval) for row in run.rows])
    axes.set_title("after all steps (band: 95 % interval over images)", fontsize=10)
    _shares(axes, result)
    _names(axes)


def _line(
    axes: Axes, result: RobustResult, number: int, rows: Sequence[tuple[float, float, tuple[float, float]]]
) -> None:
    """A run's shares over σ, each with its interval, in %."""
    names = [run.name for run in result.runs]
    colour, sigmas = shades(names, LIGHTEST)[names[number]], [sigma for sigma, _, _ in rows]
    low, high = zip(*((100 * a, 100 * b) for _, _, (a, b) in rows), strict=True)
    axes.fill_between(sigmas, low, high, color=colour, alpha=0.2, linewidth=0)
    shares, mark = [100 * share for _, share, _ in rows], MARKS[number % 9]
    line = LINES[number % 4]
    axes.plot(sigmas, shares, color=colour, linestyle=line, marker=mark, markersize=5, label=names[number])


def _by_steps(axes: Axes, result: RobustResult) -> None:
    run = result.runs[0]
    stops = shown_steps(len(run.rows[0].accuracy.over_time))
    colours = shades([str(t) for t in stops], LIGHTEST)
    sigmas = [row.sigma for row in run.rows]
    for i, t in reversed(list(enumerate(stops))):
        shares = [100 * row.accuracy.over_time[t - 1] for row in run.rows]
        axes.plot(sigmas, shares, color=colours[str(t)], marker=MARKS[i % 9], markersize=5, label=str(t))
    axes.set_title(f"{run.name}, stopped after some of its steps", fontsize=10, parse_math=False)
    _shares(axes, result)
    axes.legend(fontsize=8, title="steps")


def _shares(axes: Axes, result: RobustResult) -> None:
    axes.axhline(100 / result.classes, color="0.5", linestyle=":", linewidth=1)
    axes.set_ylabel("accuracy (%; dotted: chance)")
    axes.set_ylim(0, 100)


def _names(axes: Axes) -> None:
    """A legend of runs: a dollar sign in a name begins no formula."""
    for text in axes.legend(fontsize=8).get_texts():
        text.set_parse_math(False)


def _differences(axes: Axes, result: RobustResult) -> None:
    axes.axhline(0, color="0.5", linewidth=1)
    for number, run in enumerate(result.runs[1:], start=1):
        found = [(row.sigma, row.to_first) for row in run.rows if row.to_first is not None]
        _line(axes, result, number, [(sigma, one.difference, one.interval) for sigma, one in found])
    axes.set_ylabel(f"accuracy minus that of {result.runs[0].name} (points)", parse_math=False)
    axes.set_title("on the same images and noise (band: paired 95 % interval)", fontsize=10)
    _names(axes)

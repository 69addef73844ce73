"""Pictures of a study that compare runs: bars with their starts, points, and shares."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING

from bntt.runs.figures.figures import MARKS, shades
from bntt.studies.metrics import METRICS
from bntt.studies.numbers import column_of, measured_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bntt.studies.pictures import Bars, FigurePart, Scatter
    from bntt.studies.study_result import StudyResult

LIGHTEST = 0.85
WIDE = 3.6
"""Inches of a panel."""


def bars(figure: Figure, result: StudyResult, part: Bars) -> bool:
    """The mean of a column for every run, and every start as a point."""
    rows = column_of(result, part, part.column)
    axes = figure.subplots()
    colours = list(shades(rows, LIGHTEST).values())
    heights = [mean(row.values()) for row in rows.values()]
    axes.barh(range(len(rows)), heights, color=colours, alpha=0.75)
    for place, row in enumerate(rows.values()):
        axes.plot(list(row.values()), [place] * len(row), "o", color="k", markersize=4, markerfacecolor="none")
    axes.set_yticks(range(len(rows)), list(rows), fontsize=9, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(_axis(result, part.column))
    axes.grid(alpha=0.3, axis="x")
    if part.logarithmic and heights and min(heights) > 0:
        axes.set_xscale("log")
    return bool(rows)


def scatter(figure: Figure, result: StudyResult, part: Scatter) -> bool:
    """Two columns against each other, a point a start."""
    along, up = column_of(result, part, part.x), column_of(result, part, part.y)
    labels = [label for label in along if label in up]
    axes, colours = figure.subplots(), shades(labels, LIGHTEST)
    for number, label in enumerate(labels):
        seeds = sorted(along[label].keys() & up[label].keys())
        axes.plot(
            [along[label][seed] for seed in seeds],
            [up[label][seed] for seed in seeds],
            MARKS[number % len(MARKS)],
            color=colours[label],
            label=label,
        )
    if part.logarithmic and labels and min(v for label in labels for v in along[label].values()) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(_axis(result, part.x))
    axes.set_ylabel(_axis(result, part.y))
    axes.grid(alpha=0.3)
    _names(axes, bool(labels))
    return bool(labels)


def layer_spikes(figure: Figure, result: StudyResult, part: FigurePart) -> bool:
    """Spikes of every layer in all steps, mean over starts, on a logarithmic axis."""
    runs = measured_runs(result, part)
    axes, colours = figure.subplots(), shades(runs, LIGHTEST)
    names: list[str] = []
    for number, (label, starts) in enumerate(runs.items()):
        names = list(starts[0]["layers"])
        counts = [
            mean(sum(row["spikes_per_image"] for row in values["steps"] if row["layer"] == name) for values in starts)
            for name in names
        ]
        axes.plot(range(len(names)), counts, marker=MARKS[number % len(MARKS)], color=colours[label], label=label)
    axes.set_yscale("log")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_ylabel("spikes an image, all steps")
    axes.grid(alpha=0.3)
    _names(axes, bool(runs))
    return bool(runs)


def folds(figure: Figure, result: StudyResult, part: FigurePart) -> bool:
    """Accuracy of the network, and of each that it folds to, mean over starts, a group of bars a run."""
    runs = measured_runs(result, part)
    axes = figure.subplots()
    names = ["the network", *(next(iter(runs.values()))[0]["folds"] if runs else ())]
    colours = shades(names, LIGHTEST)
    for number, name in enumerate(names):
        heights = [
            100 * mean(v["accuracy"] if number == 0 else v["folds"][name]["accuracy"] for v in starts)
            for starts in runs.values()
        ]
        places = [place + 0.8 * (number - (len(names) - 1) / 2) / len(names) for place in range(len(runs))]
        axes.bar(places, heights, width=0.8 / len(names), color=colours[name], label=name)
    axes.set_xticks(range(len(runs)), list(runs), parse_math=False)
    axes.set_ylabel("validation accuracy (%)")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3, axis="y")
    _names(axes, bool(runs))
    return bool(runs)


def failures(figure: Figure, result: StudyResult, part: FigurePart) -> bool:
    """The share of starts that failed, by learning rate, a panel a network."""
    runs = measured_runs(result, part)
    shares = [(label, row) for label, starts in runs.items() for values in starts for row in values["shares"]]
    networks, colours = list(dict.fromkeys(row["network"] for _, row in shares)), shades(runs, LIGHTEST)
    figure.set_size_inches(max(7.0, WIDE * len(networks)), 4.2)
    panels = figure.subplots(1, max(1, len(networks)), squeeze=False).flat
    for axes, network in zip(panels, networks, strict=False):
        for number, label in enumerate(runs):
            mine = [row for of, row in shares if of == label and row["network"] == network]
            rates = sorted({row["rate"] for row in mine})
            failed = [
                100
                * sum(row["failed"] for row in mine if row["rate"] == rate)
                / sum(row["starts"] for row in mine if row["rate"] == rate)
                for rate in rates
            ]
            axes.plot(rates, failed, marker=MARKS[number % len(MARKS)], color=colours[label], label=label)
        axes.set_xscale("log")
        axes.set_ylim(-6, 106)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("starts that failed (%)")
        axes.set_title(network, fontsize=10)
        axes.grid(alpha=0.3)
        _names(axes, bool(runs))
    return bool(networks)


def _axis(result: StudyResult, key: str) -> str:
    column = next(column for column in result.study.table if column.key == key)
    metric = METRICS[column.metric]
    return f"{column.title or metric.title}{f' ({metric.unit})' if metric.unit else ''}"


def _names(axes: Axes, drawn: bool) -> None:
    if drawn:
        for text in axes.legend(fontsize=8).get_texts():
            text.set_parse_math(False)

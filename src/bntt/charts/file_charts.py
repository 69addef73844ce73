"""Draw each kind of chart into matplotlib axes, and return the entries of the legend by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING, Any

from bntt.charts.axes import LEAST, colour_limits, is_logarithmic, values_along
from bntt.charts.colours import Looks
from bntt.charts.records import (
    Axis,
    Bars,
    Chart,
    Forest,
    HeatMap,
    Histogram,
    Image,
    Level,
    Line,
    Lines,
    Number,
    thinned,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
"""Marks by which series that are compared are told apart without colours."""
FEW = 40
"""Largest number of points of a joined line with marks; longer ones have none, points that are not joined always."""
MARKED, MOST_POINTS = 8, 200
"""Most marks on a joined line, where every so many points have one, and most points of any line."""
LETTERS = 13
"""Letters of small print per inch."""
INVALID = "#a61b1b"
INK = "0.2"
UNITS = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"), (0.0, 1.0, ""))
"""Letters for large numbers: the threshold from which each is written, and the value it stands for."""
Legend = dict[str, Any]
"""The sample drawn in the legend for each name."""


def wrapped(text: str, letters: int) -> str:
    """Wrap a text into lines of at most ``letters`` letters; existing line breaks stay."""
    return "\n".join(fill(line, letters) for line in text.splitlines())


def draw_chart(axes: Axes, chart: Chart, looks: Looks) -> Legend:
    """Draw a chart's data; limits and names of the axes are set elsewhere."""
    match chart:
        case Lines():
            return _lines(axes, chart, looks)
        case Bars():
            return _bars(axes, chart, looks)
        case Forest():
            return _forest(axes, chart, looks)
        case HeatMap():
            return _heat_map(axes, chart)
        case Histogram():
            return _histogram(axes, chart, looks)
        case Image():
            axes.imshow(chart.pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            return {}


def _open(values: Sequence[Number], *, logarithmic: bool = False) -> list[float]:
    """Return the values with NaN where there is none, or no logarithm: matplotlib leaves a gap."""
    return [
        value if value is not None and math.isfinite(value) and (value > LEAST or not logarithmic) else math.nan
        for value in values
    ]


def _lines(axes: Axes, chart: Lines, looks: Looks) -> Legend:
    legend: Legend = {}
    logarithmic = is_logarithmic(chart.y, values_along(chart))
    for line in map(_thinned, chart.lines):
        y, low, high = (_open(values, logarithmic=logarithmic) for values in (line.y, line.low, line.high))
        colour, mark = looks.colour(line.name, line.colour).light, MARKS[looks.numbers[line.name] % len(MARKS)]
        (legend[line.name],) = axes.plot(
            list(line.x),
            y,
            color=colour,
            linestyle=("--" if line.dashed else "-") if line.joined else "none",
            marker=mark if len(line.x) <= (1 if line.stepped else FEW) or not line.joined else None,
            markersize=4 if line.joined else 6,
            markevery=math.ceil(len(line.x) / MARKED) if line.joined and not line.invalid else None,
            drawstyle="steps-post" if line.stepped else None,
        )
        _spread(axes, line, low, high, colour)
        if crossed := [(line.x[i], y[i]) for i in line.invalid if not math.isnan(y[i])]:
            legend["INVALID"] = _crosses(axes, *zip(*crossed, strict=True))
    if "INVALID" in legend:
        legend["INVALID"] = legend.pop("INVALID")  # the last
    return legend | _levels(axes, chart.levels)


def _thinned(line: Line) -> Line:
    """Return a line of at most ``MOST_POINTS`` points, evenly spaced; one with invalid points is short."""
    at = thinned(len(line.x), MOST_POINTS)
    if len(at) == len(line.x) or line.invalid:
        return line
    y, low, high = ([of[i] for i in at] if of else of for of in (line.y, line.low, line.high))
    return replace(line, x=[line.x[i] for i in at], y=y, low=low, high=high)


def _spread(axes: Axes, line: Line, low: Sequence[float], high: Sequence[float], colour: str) -> None:
    """Draw a band, and a stroke at each place without a neighbour."""
    there = {i for i, bounds in enumerate(zip(low, high, strict=False)) if not math.isnan(sum(bounds))}
    alone = sorted(i for i in there if not line.joined or not {i - 1, i + 1} & there)
    if len(alone) < len(there):
        step: Any = "post" if line.stepped else None
        axes.fill_between(list(line.x), low, high, color=colour, alpha=0.16, linewidth=0, step=step)
    if alone:
        x, low, high = ([of[i] for i in alone] for of in (line.x, low, high))
        axes.vlines(x, low, high, color=colour, linewidth=1.2)


def _crosses(axes: Axes, x: Sequence[Any], y: Sequence[Any]) -> Any:
    return axes.plot(x, y, "x", color=INVALID, markersize=11, markeredgewidth=2.2, zorder=4)[0]


def _levels(axes: Axes, levels: Sequence[Level]) -> Legend:
    """Draw marked heights dashed, marked places dotted."""
    legend: Legend = {}
    for level in levels:
        draw, style = (axes.axhline, "--") if level.at == "y" else (axes.axvline, ":")
        shown = draw(level.value, color="0.35", linestyle=style, linewidth=1.2)
        if level.name:
            legend[level.name] = shown
    return legend


def _bars(axes: Axes, chart: Bars, looks: Looks) -> Legend:
    legend: Legend = {}
    places, below = range(len(chart.names)), [0.0] * len(chart.names)
    width = 0.8 if chart.stacked else 0.8 / max(1, len(chart.bars))
    for number, bar in enumerate(chart.bars):
        aside = 0.0 if chart.stacked else width * (number - (len(chart.bars) - 1) / 2)
        at, heights = [place + aside for place in places], _open(bar.values)
        colour = looks.colour(bar.name, bar.colour).light
        legend[bar.name] = axes.bar(at, heights, 0.92 * width, bottom=below, color=colour)
        if bar.low and bar.high:
            axes.vlines(at, _open(bar.low), _open(bar.high), color=INK, linewidth=1.2)
        for place, points in zip(at, bar.points, strict=False):
            axes.plot([place] * len(points), list(points), "o", color=INK, markersize=4, markerfacecolor="white")
        if chart.stacked:
            below = [b + (0.0 if math.isnan(h) else h) for b, h in zip(below, heights, strict=True)]
    return legend


def _forest(axes: Axes, chart: Forest, looks: Looks) -> Legend:
    legend: Legend = {}
    logarithmic = is_logarithmic(chart.x, values_along(chart))
    for place, entry in enumerate(chart.entries):
        colour = looks.colour("entry", entry.colour).light
        if entry.low is not None and entry.high is not None:
            axes.hlines(place, entry.low, entry.high, color=colour, linewidth=2)
        axes.plot(
            list(entry.points), [place] * len(entry.points), "o", color=INK, markersize=4, markerfacecolor="white"
        )
        if entry.value is not None and logarithmic and entry.value <= 0:
            axes.text(0.01, place, f"{entry.value:g}", transform=axes.get_yaxis_transform(), va="center")
        elif entry.value is not None:
            axes.plot(entry.value, place, "D", color=colour, markersize=7)
            if entry.invalid:
                legend["INVALID"] = _crosses(axes, [entry.value], [place])
    axes.set_yticks(range(len(chart.entries)), [entry.name for entry in chart.entries], fontsize=9, parse_math=False)
    axes.set_ylim(len(chart.entries) - 0.5, -0.5)
    return legend | _levels(axes, [Level(level.value, level.name, "x") for level in chart.levels])


def _heat_map(axes: Axes, chart: HeatMap) -> Legend:
    from matplotlib.colors import LogNorm, Normalize

    values = values_along(chart)
    logarithmic, ends = is_logarithmic(chart.value, values), colour_limits(chart.value, values)
    rows = [_open(row, logarithmic=logarithmic) for row in chart.values]
    norm = (LogNorm if logarithmic else Normalize)(*ends)
    shown = axes.imshow(rows, aspect="auto", norm=norm, cmap="cividis", interpolation="nearest")
    axes.set_facecolor("0.85")
    beside = axes.inset_axes((1.02, 0, 0.04, 1))  # as separate axes it would stand at the end of the row
    bar = axes.figure.colorbar(shown, cax=beside)
    bar.ax.minorticks_off()
    ticks = ticks_of(chart.value, *ends, 5, logarithmic=logarithmic)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.set_label(wrapped(chart.value.label, 26), parse_math=False, fontsize=9)
    for names, set_ticks, turned in ((chart.columns, axes.set_xticks, True), (chart.rows, axes.set_yticks, False)):
        every = math.ceil(len(names) / FEW) or 1
        words: dict[str, Any] = {"rotation": 90} if turned and not fit(names, 4.8) else {}
        set_ticks(range(0, len(names), every), list(names[::every]), fontsize=8, parse_math=False, **words)
    return {}


def ticks_of(axis: Axis, low: float, high: float, most: int, *, logarithmic: bool = False) -> dict[float, str]:
    """Return round numbers in the range, each as it is written, with one unit for all of them."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    beyond = 1e-9 * (high - low)
    by = (1, 2, 5) if high <= 300 * low else (1,)
    powers = LogLocator(subs=by, numticks=8).tick_values(low, high) if logarithmic else ()
    ticks = [float(tick) for tick in powers if low <= tick <= high]
    if len(ticks) < 2:
        steps = MaxNLocator(most, steps=[1, 2, 5, 10], integer=axis.whole).tick_values(low, high)
        ticks = [float(tick) for tick in steps if low - beyond <= tick <= high + beyond]
    if axis.whole:
        ticks = [tick for tick in ticks if tick == round(tick)]
    largest = max(map(abs, ticks), default=0.0)
    size, unit = next((size, unit) for bound, size, unit in UNITS if largest >= bound)
    size, unit = (0.01, "%") if axis.percent else (size, unit)
    return {tick: f"{tick / size:.6g}{unit}" if tick or axis.percent else "0" for tick in ticks}


def fit(names: Sequence[str], inches: float) -> bool:
    """Return True if names fit side by side below an axis."""
    return sum(len(name) + 2 for name in names[:FEW]) <= LETTERS * inches - 8


def _histogram(axes: Axes, chart: Histogram, looks: Looks) -> Legend:
    alone = len(chart.counts) == 1
    return {
        name: axes.stairs(counts, chart.edges, color=looks.colour(name).light, fill=alone, linewidth=1.6)
        for name, counts in chart.counts.items()
    }

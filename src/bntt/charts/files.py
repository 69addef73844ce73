"""Figures as files: PNG, PDF or SVG by suffix, written whole, with the same bytes for the same figure.

Names, titles and notes are text, never formulas. Methods have a colour each, layers shades in order, others a cycle.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

from bntt.charts.records import (
    MEASURES,
    Axis,
    Bars,
    Chart,
    Figure,
    Forest,
    HeatMap,
    Histogram,
    Image,
    Level,
    Line,
    Lines,
    Number,
    finite,
    values_of,
)
from bntt.io.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing
    from matplotlib.transforms import Transform

LEAST = 1e-90
"""Smallest distance between the ends of an axis, and smallest value on a logarithmic one."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
"""Marks by which series that are compared are told apart without colours."""
FEW = 40
"""Largest number of points of a joined line with marks; longer ones have none, points that are not joined always."""
MARKED = 8
"""Most marks on a joined line, where every so many points have one."""
LETTERS = 13
INVALID = "#a61b1b"
CROSSED: dict[str, Any] = {"color": INVALID, "markersize": 11, "markeredgewidth": 2.2, "zorder": 4}
SMALL: dict[str, Any] = {"fontsize": 8, "parse_math": False}
INK = "0.2"
SINGLE: dict[str, Any] = {"color": INK, "markersize": 4, "markerfacecolor": "white"}
UNITS = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"), (0.0, 1.0, ""))
"""Letters for large numbers: the threshold from which each is written, and the value it stands for."""
Legend = dict[str, Any]  # the sample drawn for each name
UNDATED: Mapping[str, Mapping[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The formats, with the metadata left out of each so that the same figure gives the same bytes."""
HIGH = 36


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as .png, .pdf or .svg."""
    kind, content = path.suffix.removeprefix(".").lower(), io.BytesIO()
    if kind not in UNDATED:
        raise ValueError(f"{path}: a figure is a .png, .pdf or .svg file, got {path.suffix or 'no suffix'!r}")
    with reproducible("bntt"):
        draw_figure(figure).savefig(content, format=kind, dpi="figure", metadata=UNDATED[kind])
    write_whole(path, short(content.getvalue()) if kind == "svg" else content.getvalue())


def short(svg: bytes) -> bytes:
    """Cut the coordinates in tags, most of an SVG's bytes, to hundredths of a point."""
    return re.sub(rb"<[^>]+>", lambda tag: re.sub(rb"(\.\d\d)\d+", rb"\1", tag[0]), svg)


def reproducible(salt: str) -> AbstractContextManager[None]:
    """Draw the same bytes for the same figure in a block, with text that stays text; ``salt`` names its parts."""
    from matplotlib import rc_context

    told: Any = {"svg.hashsalt": salt, "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}
    return rc_context(told | {"xtick.major.size": 0, "ytick.major.size": 0})  # the grid shows the places


def draw_figure(figure: Figure, looks: Looks | None = None, *, width: float = 0.0) -> Drawing:
    """Draw all charts of a figure in rows and columns, under its title, with its own looks or those given."""
    from matplotlib.figure import Figure as Drawing

    charts = on_shared_scales(figure.charts)
    if not charts:
        raise ValueError(f"the figure {figure.title!r} has no chart: leave it out")
    usual = 10 if all(isinstance(chart, Image) for chart in charts) else {4: 2}.get(len(charts), 3)
    columns = min(figure.columns or usual, len(charts))
    rows = math.ceil(len(charts) / columns)
    sizes = [_size(chart, width) for chart in charts]
    widths = [max(width for width, _ in sizes[i::columns]) for i in range(columns)]
    heights = [max(height for _, height in sizes[i * columns : (i + 1) * columns]) for i in range(rows)]
    size = width or max(4.5, sum(widths)), sum(heights) + 0.5 * bool(figure.title)
    drawing = Drawing(figsize=size, dpi=110, layout="constrained")
    grid = drawing.subplots(rows, columns, squeeze=False, width_ratios=widths, height_ratios=heights)
    places, looks, legends = list(grid.flat), looks or looks_of(charts), []
    for axes, chart, (wide, _) in zip(places, charts, sizes, strict=False):
        legends.append((axes, draw_chart(axes, chart, looks, wide)))
    for axes in places[len(charts) :]:
        axes.set_visible(False)
    _draw_legends(drawing, legends, looks)
    if figure.title:
        title = wrapped(figure.title, round(10 * drawing.get_size_inches()[0]))
        drawing.suptitle(title, parse_math=False, fontsize=11)
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")
    for axes in drawing.axes:  # the last bits of the layout vary
        left, bottom, width, height = (round(bound, 6) for bound in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))
    return drawing


def _size(chart: Chart, page: float = 0.0) -> tuple[float, float]:
    """Return the size of a chart in inches, with all that is written around it; on a page of this width no title."""
    match chart:
        case Bars():
            width = max(4.8, 1.2 + 0.2 * len(chart.names) * (1 if chart.stacked else 1 + len(chart.bars)))
            height = 3.9 + (0.8 * _inches(chart.names) if not fit(chart.names, min(page or width, 4.8)) else 0)
        case Forest():
            width = 4.2 + _inches([entry.name for entry in chart.entries])
            lines = max((entry.name.count("\n") + 1 for entry in chart.entries), default=1)
            height = max(2.4, 1.3 + max(0.3, 0.16 * lines) * len(chart.entries))
        case HeatMap():
            width = max(3.2, 0.22 * min(FEW, len(chart.columns))) + 1.6 + _inches(chart.rows)
            height = max(2.8, 1.4 + 0.2 * min(FEW, len(chart.rows)))
            height += _inches(chart.columns) if not fit(chart.columns, 4.8) else 0
        case Image():
            high, wide = len(chart.pixels), len(chart.pixels[0]) if chart.pixels else 1
            width, height = 1.35, 0.45 + 1.25 * min(3.0, high / wide)
        case _:
            width, height = 4.8, 3.9
    return (page, height - 0.6) if page else (width, height)


def _inches(names: Sequence[str]) -> float:
    return max(map(len, names), default=0) / LETTERS


def draw_chart(axes: Axes, chart: Chart, looks: Looks, width: float) -> Legend:
    """Draw a chart of this width with its title, note and axes; return the legend's samples."""
    letters, small, legend = round(LETTERS * width) - 8, isinstance(chart, Image), Legend()
    match chart:
        case Lines():
            legend = _lines(axes, chart, looks)
        case Bars():
            legend = _bars(axes, chart, looks, width)
        case Forest():
            legend = _forest(axes, chart, looks)
        case HeatMap():
            _heat_map(axes, chart)
            axes.set_xlabel(wrapped(chart.x.label, letters), parse_math=False, fontsize=9)
        case Histogram():
            for name, counts in chart.counts.items():
                colour, alone = looks.colour(name), len(chart.counts) == 1
                legend[name] = axes.stairs(counts, chart.edges, color=colour, fill=alone, linewidth=1.6)
        case Image():
            axes.imshow(chart.pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
    if isinstance(chart, Lines | Histogram):
        _measure(axes, "x", chart.x, places_along(chart), letters, values=False)
    if (which := MEASURES.get(type(chart))) in ("x", "y"):
        _measure(axes, which, getattr(chart, which), values_along(chart), letters if which == "x" else HIGH)
    axes.set_axisbelow(True)
    title, note = wrapped(chart.title, max(12, letters - 4)), wrapped(chart.note, letters + 6)
    pad = 5 + 10 * (note.count("\n") + 1) if note else 5
    axes.set_title(title, fontsize=8 if small else 10, pad=pad, loc="center" if small else "left", parse_math=False)
    if note:
        axes.annotate(note, (0, 1), (0, 4), "axes fraction", "offset points", color="0.35", **SMALL)
    return legend


def _open(values: Sequence[Number], *, logarithmic: bool = False) -> list[float]:
    """Return the values with NaN where there is none, or no logarithm: matplotlib leaves a gap."""
    least = LEAST if logarithmic else -math.inf
    return [value if value is not None and least < value < math.inf else math.nan for value in values]


def _lines(axes: Axes, chart: Lines, looks: Looks) -> Legend:
    legend, invalid, logarithmic = Legend(), Legend(), is_logarithmic(chart.y, values_along(chart))
    for line in chart.lines:
        y, low, high = (_open(values, logarithmic=logarithmic) for values in (line.y, line.low, line.high))
        colour, mark = looks.colour(line.name, line.colour), MARKS[looks.numbers[line.name] % len(MARKS)]
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
            (invalid["INVALID"],) = axes.plot(*zip(*crossed, strict=True), "x", **CROSSED)
    return legend | invalid | _levels(axes, chart.levels)


def thinned(total: int, most: int) -> list[int]:
    """Select at most so many evenly spaced places among ``total``, including the first and the last."""
    return [round(i * (total - 1) / (most - 1)) for i in range(most)] if total > most else [*range(total)]


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


def _levels(axes: Axes, levels: Sequence[Level]) -> Legend:
    legend: Legend = {}
    for level in levels:
        draw, style = (axes.axhline, "--") if level.at == "y" else (axes.axvline, ":")
        legend[level.name] = draw(level.value, color="0.35", linestyle=style, linewidth=1.2)
    return {name: shown for name, shown in legend.items() if name}


def _bars(axes: Axes, chart: Bars, looks: Looks, room: float) -> Legend:
    legend: Legend = {}
    places, below = range(len(chart.names)), [0.0] * len(chart.names)
    width = 0.8 if chart.stacked else 0.8 / max(1, len(chart.bars))
    for number, bar in enumerate(chart.bars):
        aside = 0.0 if chart.stacked else width * (number - (len(chart.bars) - 1) / 2)
        at, heights = [place + aside for place in places], _open(bar.values)
        colour = looks.colour(bar.name, bar.colour)
        legend[bar.name] = axes.bar(at, heights, 0.92 * width, bottom=below, color=colour)
        if bar.low and bar.high:
            axes.vlines(at, _open(bar.low), _open(bar.high), color=INK, linewidth=1.2)
        for place, points in zip(at, bar.points, strict=False):
            axes.plot([place] * len(points), list(points), "o", **SINGLE)
        if chart.stacked:
            below = [b + (0.0 if math.isnan(h) else h) for b, h in zip(below, heights, strict=True)]
    axes.set_xticks(places, list(chart.names), **SMALL)
    if not fit(chart.names, min(room, 4.8)):
        axes.tick_params("x", rotation=60)
        for name in axes.get_xticklabels():
            name.set(ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(chart.names) - 0.4)
    return legend


def _forest(axes: Axes, chart: Forest, looks: Looks) -> Legend:
    legend, logarithmic = Legend(), is_logarithmic(chart.x, values_along(chart))
    for place, entry in enumerate(chart.entries):
        colour = looks.colour("entry", entry.colour)
        if entry.low is not None and entry.high is not None:
            axes.hlines(place, entry.low, entry.high, color=colour, linewidth=2)
        axes.plot(list(entry.points), [place] * len(entry.points), "o", **SINGLE)
        if entry.value is not None and logarithmic and entry.value <= 0:
            axes.text(0.01, place, f"{entry.value:g}", transform=axes.get_yaxis_transform(), va="center")
        elif entry.value is not None:
            axes.plot(entry.value, place, "D", color=colour, markersize=7)
            if entry.invalid:
                (legend["INVALID"],) = axes.plot(entry.value, place, "x", **CROSSED)
    axes.set_yticks(range(len(chart.entries)), [entry.name for entry in chart.entries], fontsize=9, parse_math=False)
    axes.set_ylim(len(chart.entries) - 0.5, -0.5)
    return legend | _levels(axes, [Level(level.value, level.name, "x") for level in chart.levels])


def _heat_map(axes: Axes, chart: HeatMap) -> None:
    from matplotlib.colors import LogNorm, Normalize

    values = values_along(chart)
    logarithmic = is_logarithmic(chart.value, values)
    held = (above_zero(values) if logarithmic else values) or [0.0]
    ends = min(held), max(held) if max(held) > min(held) else min(held) + 1
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
        set_ticks(range(0, len(names), every), list(names[::every]), **SMALL, **words)


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
    ticks = [tick for tick in ticks if not axis.whole or tick == round(tick)]
    largest = max(map(abs, ticks), default=0.0)
    size, unit = next((size, unit) for bound, size, unit in UNITS if largest >= bound)
    size, unit = (0.01, "%") if axis.percent else (size, unit)
    return {tick: f"{tick / size:.6g}{unit}" if tick or axis.percent else "0" for tick in ticks}


def fit(names: Sequence[str], inches: float) -> bool:
    """Return True if names fit side by side below an axis."""
    return sum(len(name) + 2 for name in names[:FEW]) <= LETTERS * inches - 8


def _measure(axes: Axes, which: str, axis: Axis, held: Sequence[float], letters: int, *, values: bool = True) -> None:
    """Set up one axis, of values or of places: scale, ends, ticks and name."""
    drawn, logarithmic = getattr(axes, f"{which}axis"), is_logarithmic(axis, held)
    low, high = limits(axis, held, values=values)
    ticks = ticks_of(axis, low, high, 8, logarithmic=logarithmic)
    if not values and axis.whole and 0.5 <= low < 1 and 1.0 not in ticks and not logarithmic:  # counts begin at 1
        ticks = {1.0: "1"} | ticks
    if logarithmic:
        getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(low, high)
    drawn.set_ticks(list(ticks), labels=list(ticks.values()), parse_math=False)
    drawn.set_ticks([], minor=True)
    drawn.set_label_text(wrapped(axis.label, letters), parse_math=False, fontsize=9)
    axes.grid(alpha=0.3, axis=which, clip_on=False)  # type: ignore[arg-type]


def _draw_legends(drawing: Drawing, panels: Sequence[tuple[Axes, Legend]], looks: Looks) -> None:
    """Draw a legend below each chart that has more than one series; one for all charts if it is the same."""
    needed = [(axes, legend) for axes, legend in panels if len(legend) > 1 or not legend.keys() <= looks.numbers.keys()]
    samples = {name: sample for _, legend in reversed(needed) for name, sample in legend.items()}
    same = all(legend.keys() == samples.keys() for _, legend in needed)
    legends = [(None, samples)] * bool(samples) if same else needed
    lines, (wide, high) = dict[int, int](), drawing.get_size_inches()
    for axes, held in legends:
        names = sorted(held, key=lambda name: looks.numbers.get(name, len(samples)))
        place = None if axes is None else axes.get_subplotspec()
        row, room = (0, wide) if place is None else (place.rowspan.start, wide / place.get_gridspec().ncols)
        columns = max(1, min(len(names), 8, int(LETTERS * room) // (max(map(len, names)) + 8)))
        lines[row] = max(lines.get(row, 0), math.ceil(len(names) / columns))
        where: dict[str, Any] = {"loc": "outside lower center"}
        if axes is not None:
            where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": _below(drawing, axes)}
        shown = (axes or drawing).legend(
            [held[name] for name in names], ["-"] * len(names), ncols=columns, fontsize=8, frameon=False, **where
        )
        for text, name in zip(shown.get_texts(), names, strict=True):
            text.set_parse_math(False)  # set afterwards: matplotlib omits names that begin with an underscore
            text.set_text(name)
    drawing.set_size_inches(wide, high + 0.17 * sum(lines.values()))


def _below(drawing: Drawing, axes: Axes) -> Transform:
    """Return the coordinates of a chart, moved down below what is written along its horizontal axis."""
    from matplotlib.transforms import ScaledTranslation

    drawing.draw_without_rendering()
    written = axes.xaxis.get_tightbbox() or axes.bbox
    return axes.transAxes + ScaledTranslation(0, (written.y0 - axes.bbox.y0) / drawing.dpi, drawing.dpi_scale_trans)


def wrapped(text: str, letters: int) -> str:
    """Wrap a text into lines of at most ``letters`` letters; existing line breaks stay."""
    return "\n".join(fill(line, letters) for line in text.splitlines())


def values_along(chart: Chart) -> list[float]:
    """Return all values that the axis of values needs room for, of this chart and of panels that share its scale."""
    levels = (level.value for level in getattr(chart, "levels", ()) if level.at == "y")
    shown = getattr(chart, MEASURES[type(chart)]).shown if type(chart) in MEASURES else ()
    return finite([*values_of(chart), *levels, *shown])


def places_along(chart: Lines | Histogram) -> list[float]:
    """Return all places along x."""
    if isinstance(chart, Histogram):
        return finite(chart.edges)
    return finite([*(x for line in chart.lines for x in line.x), *(one.value for one in chart.levels if one.at == "x")])


def on_shared_scales(charts: Sequence[Chart]) -> list[Chart]:
    """Give charts of one figure that measure the same quantity a shared scale, so that they can be compared."""
    axes = [None if isinstance(chart, Image) else getattr(chart, MEASURES[type(chart)]) for chart in charts]
    shared = list[Chart]()
    for chart, axis in zip(charts, axes, strict=True):
        if axis is not None and axes.count(axis) > 1:
            values = [v for other, held in zip(charts, axes, strict=True) if held == axis for v in values_along(other)]
            shown = above_zero(values) if is_logarithmic(axis, values) else values
            whole = replace(axis, shown=(min(shown), max(shown)) if shown else ())
            chart = replace(chart, **{MEASURES[type(chart)]: whole})
        shared.append(chart)
    return shared


def above_zero(values: Iterable[float]) -> list[float]:
    """Return the values that have a place on a logarithmic axis."""
    return [value for value in values if value > LEAST]


def is_logarithmic(axis: Axis, values: Iterable[float]) -> bool:
    """Return True if an axis is to be logarithmic and can be: a value has a place on it."""
    return axis.scale == "log" and bool(above_zero(values))


def limits(axis: Axis, held: Sequence[float], *, values: bool = True) -> tuple[float, float]:
    """Return the ends of an axis: slightly beyond what it holds, within what is possible; one of values contains 0."""
    if is_logarithmic(axis, held):
        above = above_zero(held)
        low, high = min(above) / 1.5, max(above) * 1.5
        return low if axis.low is None else max(low, axis.low), high if axis.high is None else min(high, axis.high)
    held = [0.0, *held] if values else held or [0.0, 1.0]
    low, high = min(held), max(held)
    beyond = 0.5 if axis.whole and not values else 0.05 * (high - low)
    if high - low <= max(LEAST, 1e-9 * max(abs(low), abs(high))):
        beyond = max(0.5, 1e-6 * abs(low))
    most = 1.0 if values and axis.percent and high <= 1 else math.inf
    low, high = low - beyond * (low < 0 or not values), min(most, high + beyond * (high > 0 or not values))
    low, high = low if axis.low is None else axis.low, high if axis.high is None else min(high, axis.high)
    return (low, high) if high > low else (low, low + 1.0)


METHODS = {
    "bntt": ("#d1410c", "#ff7a45"),
    "bntt-scaled": ("#a3123f", "#ff8fa8"),
    "bntt-beta": ("#b8741a", "#f0b060"),
    "tdbn": ("#1b7f4b", "#5fd39a"),
    "tebn": ("#7a3fa8", "#c09af0"),
    "tab": ("#0a7f94", "#41c4d1"),
    "bn": ("#1f4e9c", "#7aa7ff"),
    "bn-pooled": ("#3b82c4", "#a9c8ff"),
    "bntt-shared-gamma": ("#c3713d", "#f5b58a"),
    "bntt-shared-statistics": ("#825f9f", "#ccafe0"),
    "bntt-shared-both": ("#2f8f83", "#7fd6ca"),
    "layer": ("#857000", "#d6bb3a"),
    "none": ("#5a606b", "#a3aab5"),
    "conversion": ("#b02a6b", "#ef7fb5"),
    "hybrid": ("#4d7f1a", "#93cc4f"),
    "surrogate": ("#7d4e2a", "#c9a07a"),
    "ann": ("#1b1d21", "#e6e8eb"),
}
"""Colours in files and on light pages, and in dark mode, by name as recipes write norms; BNTT's is the strongest."""
OTHERS = tuple(
    METHODS[name]
    for first in ("bn bntt-beta tebn tdbn conversion tab", "layer bn-pooled hybrid surrogate bntt-scaled none")
    for name in first.split()
)
"""Colours in turn, easy to tell apart, for names that are not methods; those of methods in the figure are left out."""
_LIGHT = ("#2a1a5e", "#2f4b9e", "#1f7a9c", "#1e9a7c", "#7aa82a", "#d09a00")
_DARK = ("#c3a8ee", "#7aa7ff", "#41c4d1", "#4fcf9f", "#b5d95a", "#ffd166")
_SHADES = 24


def _between(stops: Sequence[str], share: float) -> str:
    at = min(int(share * (len(stops) - 1)), len(stops) - 2)
    part = share * (len(stops) - 1) - at
    ends = [[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops[at : at + 2]]
    return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in zip(*ends, strict=True))


SHADES = tuple((_between(_LIGHT, i / (_SHADES - 1)), _between(_DARK, i / (_SHADES - 1))) for i in range(_SHADES))


class Looks(NamedTuple):
    """The looks that tell the series of a figure apart: a colour and a number, which selects the marks."""

    colours: Mapping[str, tuple[str, str]]
    numbers: Mapping[str, int]

    def colour(self, name: str, colour: str = "") -> str:
        """Return the colour of a series in files, from its name and the colour in its record."""
        return self.colours[(colour or name).lower()][0]


def looks_of(charts: Iterable[Chart]) -> Looks:
    """Choose colours and numbers of all series of charts that are seen together: one name, one look."""
    charts = list(charts)
    by_chart = sorted(([key for _, key, shade in _series(chart) if shade] for chart in charts), key=len, reverse=True)
    layers = list(dict.fromkeys(key for keys in by_chart for key in keys))  # first the chart that has the most
    colours = {key: SHADES[round(i * (_SHADES - 1) / max(1, len(layers) - 1))] for i, key in enumerate(layers)}
    keys = dict.fromkeys(key for chart in charts for _, key, _ in _series(chart))
    colours |= {key: METHODS[key] for key in keys if key in METHODS}
    free = [colour for colour in OTHERS if colour not in colours.values()] or OTHERS
    others = [key for key in keys if key not in colours]
    colours |= {key: free[i % len(free)] for i, key in enumerate(others)}
    return Looks(colours, {name: i for i, name in enumerate(names_in(charts))})


def names_in(charts: Iterable[Chart]) -> list[str]:
    """Return the names of all series, each once."""
    return list(dict.fromkeys(name for chart in charts for name, _, _ in _series(chart)))


def _series(chart: Chart) -> Iterator[tuple[str, str, bool]]:
    """Yield the name of each series, the key of its colour, and whether it takes a shade in order."""
    match chart:
        case Lines():
            yield from ((line.name, (line.colour or line.name).lower(), not line.colour) for line in chart.lines)
        case Bars():
            yield from ((bar.name, (bar.colour or bar.name).lower(), False) for bar in chart.bars)
        case Forest():
            yield from ((entry.name, (entry.colour or "entry").lower(), False) for entry in chart.entries)
        case Histogram():
            yield from ((name, name.lower(), True) for name in chart.counts)

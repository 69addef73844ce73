"""Figures as files: PNG, PDF or SVG by suffix, written whole, with the same bytes for the same figure.

Names, titles and notes are text, never formulas; legends are outside the data.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bntt.charts.axes import finite, on_shared_scales, places_along, ruler, values_along
from bntt.charts.colours import Looks, looks_of
from bntt.charts.file_charts import FEW, Legend, columns_are_turned, draw_chart, wrapped
from bntt.charts.records import Axis, Bars, Chart, Figure, Forest, HeatMap, Histogram, Image, Lines
from bntt.io.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

UNDATED: Mapping[str, Mapping[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The formats, with the metadata left out of each so that the same figure gives the same bytes."""
TAG = re.compile(rb"<[^>]+>")
"""Tag of SVG; the text between two tags is left alone."""
LETTERS = 13
"""Letters of small print per inch."""
HIGH = 36
"""Letters of an axis's name that fit along its height."""


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as .png, .pdf or .svg.

    Raises:
        ValueError: if the path has another suffix, or the figure has no chart.
        OSError: if it cannot be written; what was there before is unchanged.
    """
    kind, content = path.suffix.removeprefix(".").lower(), io.BytesIO()
    if kind not in UNDATED:
        raise ValueError(f"{path}: a figure is a .png, .pdf or .svg file, got {path.suffix or 'no suffix'!r}")
    with reproducible("bntt"):
        draw_figure(figure).savefig(content, format=kind, dpi="figure", metadata=UNDATED[kind])
    drawn = content.getvalue()
    write_whole(path, TAG.sub(_rounded, drawn) if kind == "svg" else drawn)


def reproducible(salt: str) -> AbstractContextManager[None]:
    """Draw the same bytes for the same figure in a block, with text that stays text; ``salt`` names its parts."""
    from matplotlib import rc_context

    ticks = {"xtick.major.size": 0, "ytick.major.size": 0}  # the grid shows the places
    return rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"], **ticks})


def _rounded(tag: re.Match[bytes]) -> bytes:
    """Cut the coordinates in a tag to hundredths of a point: they are most of a drawing's bytes."""
    return re.sub(rb"(\.\d\d)\d+", rb"\1", tag[0])


def draw_figure(figure: Figure, looks: Looks | None = None) -> Drawing:
    """Draw all charts of a figure in rows and columns, under its title.

    Args:
        looks: of its series; by default chosen for this figure alone.

    Raises:
        ValueError: if there is no chart.
    """
    from matplotlib.figure import Figure as Drawing

    charts = on_shared_scales(figure.charts)
    if not charts:
        raise ValueError(f"the figure {figure.title!r} has no chart: leave it out")
    columns = min(figure.columns or _columns(charts), len(charts))
    rows = math.ceil(len(charts) / columns)
    sizes = [_size(chart) for chart in charts]
    widths = [max(width for width, _ in sizes[i::columns]) for i in range(columns)]
    heights = [max(height for _, height in sizes[i * columns : (i + 1) * columns]) for i in range(rows)]
    size = max(4.5, sum(widths)), sum(heights) + 0.5 * bool(figure.title)
    drawing = Drawing(figsize=size, dpi=110, layout="constrained")
    grid = drawing.subplots(rows, columns, squeeze=False, width_ratios=widths, height_ratios=heights)
    places, looks, legends = list(grid.flat), looks or looks_of(charts), []
    for axes, chart, (width, _) in zip(places, charts, sizes, strict=False):
        legends.append((axes, draw_chart(axes, chart, looks)))
        _frame(axes, chart, round(LETTERS * width) - 8)
    for axes in places[len(charts) :]:
        axes.set_visible(False)
    _legends(drawing, legends, widths, looks)
    letters = round(10 * drawing.get_size_inches()[0])
    if figure.title:
        drawing.suptitle(wrapped(figure.title, letters), parse_math=False, fontsize=11)
    _settle(drawing)
    return drawing


def _settle(drawing: Drawing) -> None:
    """Lay out once, and round the positions of the axes: the solver's last bits vary."""
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")
    for axes in drawing.axes:
        left, bottom, width, height = (round(bound, 6) for bound in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def _columns(charts: Sequence[Chart]) -> int:
    if all(isinstance(chart, Image) for chart in charts):
        return 10
    return {4: 2}.get(len(charts), 3)


def _size(chart: Chart) -> tuple[float, float]:
    """Return the size of a chart in inches, with all that is written around it."""
    match chart:
        case Bars():
            width = max(4.8, 1.2 + 0.2 * len(chart.names) * (1 if chart.stacked else 1 + len(chart.bars)))
            return width, 3.9 + (0.8 * _inches(chart.names) if _are_turned(chart) else 0)
        case Forest():
            return 4.2 + _inches([entry.name for entry in chart.entries]), max(2.4, 1.3 + 0.3 * len(chart.entries))
        case HeatMap():
            width = max(3.2, 0.22 * min(FEW, len(chart.columns))) + 1.6 + _inches(chart.rows)
            high = max(2.8, 1.4 + 0.2 * min(FEW, len(chart.rows)))
            return width, high + (_inches(chart.columns) if columns_are_turned(chart) else 0)
        case Image():
            high, wide = len(chart.pixels), len(chart.pixels[0]) if chart.pixels else 1
            return 1.35, 0.45 + 1.25 * min(3.0, high / wide)
        case _:
            return 4.8, 3.9


def _inches(names: Sequence[str]) -> float:
    """Return the length of the longest name, in inches."""
    return max(map(len, names), default=0) / LETTERS


def _are_turned(chart: Bars) -> bool:
    """Return True if the names of bars do not fit side by side."""
    return sum(len(name) + 2 for name in chart.names) > 54


def _frame(axes: Axes, chart: Chart, letters: int) -> None:
    """Draw title, note, names, limits and ticks."""
    note = wrapped(chart.note, letters + 6)
    small = isinstance(chart, Image)
    title = wrapped(chart.title, max(12, letters - 4))
    pad = 5 + 10 * (note.count("\n") + 1) if note else 5
    axes.set_title(title, fontsize=8 if small else 10, pad=pad, loc="center" if small else "left", parse_math=False)
    if note:
        axes.annotate(
            note, (0, 1), (0, 4), "axes fraction", "offset points", fontsize=8, color="0.35", parse_math=False
        )
    if small:
        axes.set_axis_off()
        return
    axes.set_axisbelow(True)
    match chart:
        case Lines():
            _measure(axes, "x", chart.x, places_along(chart), letters)
            _measure(axes, "y", chart.y, values_along(chart), HIGH)
        case Bars():
            _measure(axes, "y", chart.y, values_along(chart), HIGH)
            _bar_names(axes, chart)
        case Forest():
            _measure(axes, "x", chart.x, values_along(chart), letters, values=True)
        case HeatMap():
            axes.set_xlabel(wrapped(chart.x.label, letters), parse_math=False, fontsize=9)
        case Histogram():
            _measure(axes, "x", chart.x, finite(chart.edges), letters)
            _measure(axes, "y", chart.y, values_along(chart), HIGH)


def _measure(axes: Axes, which: str, axis: Axis, held: Sequence[float], letters: int, *, values: bool = False) -> None:
    """Set up one axis: scale, ends, ticks and name."""
    from matplotlib.ticker import FixedLocator, NullLocator

    scale, drawn = ruler(axis, held, places=not (values or which == "y"), most=8), getattr(axes, f"{which}axis")
    if scale.logarithmic:
        getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(scale.low, scale.high)
    drawn.set_major_locator(FixedLocator(scale.ticks))
    drawn.set_minor_locator(NullLocator())
    drawn.set_ticklabels(scale.labels, parse_math=False)
    drawn.set_label_text(wrapped(axis.label, letters), parse_math=False, fontsize=9)
    axes.grid(alpha=0.3, axis=which)  # type: ignore[arg-type]


def _bar_names(axes: Axes, chart: Bars) -> None:
    turned = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    words: dict[str, Any] = turned if _are_turned(chart) else {}
    axes.set_xticks(range(len(chart.names)), list(chart.names), fontsize=8, parse_math=False, **words)
    axes.set_xlim(-0.6, len(chart.names) - 0.4)


def _legends(drawing: Drawing, legends: Sequence[tuple[Axes, Legend]], widths: Sequence[float], looks: Looks) -> None:
    """Draw legends: one beside all charts for names that several share or that do not fit, others below their chart."""
    names = [name for _, legend in legends for name in legend]
    beside: Legend = {}
    for number, (axes, legend) in enumerate(legends):
        columns = max(1, min(4, int(LETTERS * widths[number % len(widths)]) // (max(map(len, legend), default=0) + 6)))
        turned = any(label.get_rotation() for label in axes.get_xticklabels())
        if any(names.count(name) > 1 for name in legend) or len(legend) > 2 * columns or (turned and len(legend) > 1):
            beside = legend | beside
        elif len(legend) > 1 or (legend and not legend.keys() <= looks.numbers.keys()):
            _below(axes, legend, columns)
    if beside:
        beside = {name: beside[name] for name in sorted(beside, key=lambda name: looks.numbers.get(name, len(names)))}
        columns = 1 + (len(beside) - 1) // 20
        _named(drawing.legend, beside, loc="outside right center", ncols=columns)
        wide, high = drawing.get_size_inches()
        drawing.set_size_inches(wide + columns * (0.6 + max(map(len, beside)) / LETTERS), high)


def _below(axes: Axes, legend: Legend, columns: int) -> None:
    from matplotlib.transforms import ScaledTranslation

    figure = axes.figure
    lower = axes.transAxes + ScaledTranslation(0, -0.48, figure.dpi_scale_trans)
    _named(axes.legend, legend, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=lower, ncols=columns)


def _named(make: Any, legend: Legend, **options: Any) -> None:
    """Make a legend, and set its names afterwards: matplotlib omits names that begin with an underscore."""
    shown = make(list(legend.values()), ["-"] * len(legend), fontsize=8, frameon=False, **options)
    for text, name in zip(shown.get_texts(), legend, strict=True):
        text.set_parse_math(False)
        text.set_text(name)

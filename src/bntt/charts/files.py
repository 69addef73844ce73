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
from typing import TYPE_CHECKING

from bntt.charts.axes import (
    finite,
    is_logarithmic,
    on_shared_scales,
    place_limits,
    places_along,
    value_limits,
    values_along,
)
from bntt.charts.colours import Looks, looks_of
from bntt.charts.file_charts import FEW, LETTERS, Legend, draw_chart, fit, ticks_of, wrapped
from bntt.charts.records import Axis, Bars, Chart, Figure, Forest, HeatMap, Histogram, Image, Lines
from bntt.io.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

UNDATED: Mapping[str, Mapping[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The formats, with the metadata left out of each so that the same figure gives the same bytes."""
TAG = re.compile(rb"<[^>]+>")
"""Tag of SVG; the text between two tags is left alone."""
HIGH = 36
"""Letters of an axis's name that fit along its height."""


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as .png, .pdf or .svg."""
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

    return rc_context(
        {
            "svg.hashsalt": salt,
            "svg.fonttype": "none",
            "font.sans-serif": ["DejaVu Sans"],
            "xtick.major.size": 0,  # the grid shows the places
            "ytick.major.size": 0,
        }
    )


def _rounded(tag: re.Match[bytes]) -> bytes:
    """Cut the coordinates in a tag to hundredths of a point: they are most of a drawing's bytes."""
    return re.sub(rb"(\.\d\d)\d+", rb"\1", tag[0])


def draw_figure(figure: Figure, looks: Looks | None = None, *, width: float = 0.0) -> Drawing:
    """Draw all charts of a figure in rows and columns, under its title, with its own looks or those given."""
    from matplotlib.figure import Figure as Drawing

    charts = on_shared_scales(figure.charts)
    if not charts:
        raise ValueError(f"the figure {figure.title!r} has no chart: leave it out")
    columns = min(figure.columns or _columns(charts), len(charts))
    rows = math.ceil(len(charts) / columns)
    sizes = [_size(chart, width) for chart in charts]
    widths = [max(width for width, _ in sizes[i::columns]) for i in range(columns)]
    heights = [max(height for _, height in sizes[i * columns : (i + 1) * columns]) for i in range(rows)]
    size = width or max(4.5, sum(widths)), sum(heights) + 0.5 * bool(figure.title)
    drawing = Drawing(figsize=size, dpi=110, layout="constrained")
    grid = drawing.subplots(rows, columns, squeeze=False, width_ratios=widths, height_ratios=heights)
    places, looks, legends = list(grid.flat), looks or looks_of(charts), []
    for axes, chart, (wide, _) in zip(places, charts, sizes, strict=False):
        legends.append(draw_chart(axes, chart, looks))
        _frame(axes, chart, wide)
    for axes in places[len(charts) :]:
        axes.set_visible(False)
    _draw_legend(drawing, legends, looks, page=bool(width))
    if figure.title:
        letters = round(10 * drawing.get_size_inches()[0])
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
    """Return the length of the longest name, in inches."""
    return max(map(len, names), default=0) / LETTERS


def _frame(axes: Axes, chart: Chart, width: float) -> None:
    """Draw title, note, names, limits and ticks."""
    letters = round(LETTERS * width) - 8
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
            _measure(axes, "x", chart.x, places_along(chart), letters, values=False)
            _measure(axes, "y", chart.y, values_along(chart), HIGH)
        case Bars():
            _measure(axes, "y", chart.y, values_along(chart), HIGH)
            axes.set_xticks(range(len(chart.names)), list(chart.names), fontsize=8, parse_math=False)
            if not fit(chart.names, min(width, 4.8)):
                axes.tick_params("x", rotation=60)
                for name in axes.get_xticklabels():
                    name.set(ha="right", rotation_mode="anchor")
            axes.set_xlim(-0.6, len(chart.names) - 0.4)
        case Forest():
            _measure(axes, "x", chart.x, values_along(chart), letters)
        case HeatMap():
            axes.set_xlabel(wrapped(chart.x.label, letters), parse_math=False, fontsize=9)
        case Histogram():
            _measure(axes, "x", chart.x, finite(chart.edges), letters, values=False)
            _measure(axes, "y", chart.y, values_along(chart), HIGH)


def _measure(axes: Axes, which: str, axis: Axis, held: Sequence[float], letters: int, *, values: bool = True) -> None:
    """Set up one axis, of values or of places: scale, ends, ticks and name."""
    drawn, logarithmic = getattr(axes, f"{which}axis"), is_logarithmic(axis, held)
    low, high = (value_limits if values else place_limits)(axis, held)
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


def _draw_legend(drawing: Drawing, legends: Sequence[Legend], looks: Looks, *, page: bool) -> None:
    """Draw one legend of all charts that have more than one series: below them if it is short, else beside them."""
    needed = [legend for legend in legends if len(legend) > 1 or not legend.keys() <= looks.numbers.keys()]
    samples = {name: sample for legend in reversed(needed) for name, sample in legend.items()}
    if not samples:
        return
    names = sorted(samples, key=lambda name: looks.numbers.get(name, len(samples)))
    (wide, high), longest = drawing.get_size_inches(), max(map(len, names))
    columns = max(1, min(len(names), 4 if page else 8, int(LETTERS * wide) // (longest + 6)))
    below = page or len(names) <= 2 * columns
    columns = columns if below else 1 + (len(names) - 1) // 20
    more = (0, 0.17 * math.ceil(len(names) / columns)) if below else (columns * (0.6 + longest / LETTERS), 0)
    drawing.set_size_inches(wide + more[0], high + more[1])
    shown = drawing.legend(
        [samples[name] for name in names],
        ["-"] * len(names),
        loc="outside lower center" if below else "outside right center",
        ncols=columns,
        fontsize=8,
        frameon=False,
    )
    for text, name in zip(shown.get_texts(), names, strict=True):
        text.set_parse_math(False)  # set afterwards: matplotlib omits names that begin with an underscore
        text.set_text(name)

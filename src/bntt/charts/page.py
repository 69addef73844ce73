"""Charts of the page as inline SVG: text stays text, colours are classes of the page's style, and the same numbers give
the same bytes. A picture of the page's own takes the reader's colours, in the dark and on paper.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

from markupsafe import Markup

from bntt.charts.colours import Looks
from bntt.charts.records import Bars, Chart, Forest, HeatMap, Histogram, Image, Lines
from bntt.charts.svg_lines import HEIGHT, histogram, lines
from bntt.charts.svg_rows import bar_height, bars, forest, forest_height, heat_map, heat_map_height
from bntt.charts.svg_shapes import WIDTH, digits, mark, path, rectangle, swatch
from bntt.charts.words import in_words


def draw(chart: Chart, looks: Looks) -> Markup:
    """A chart with its text alternative."""
    match chart:
        case Lines():
            body, height = lines(chart, looks), HEIGHT
        case Histogram():
            body, height = histogram(chart, looks), HEIGHT
        case Bars():
            body, height = bars(chart, looks), bar_height(chart)
        case Forest():
            body, height = forest(chart, looks), forest_height(chart)
        case HeatMap():
            body, height = heat_map(chart), heat_map_height(chart)
        case Image():
            return _picture(chart)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart">{}</svg>').format(
        digits(WIDTH), digits(height), in_words(chart), Markup("").join(body)
    )


def legend_of(chart: Chart, looks: Looks) -> list[tuple[Markup, str]]:
    """What stands for each name of a chart; nothing where there is but one series."""
    found = list(_legend(chart, looks))
    return found if len(found) > 1 else []


def _legend(chart: Chart, looks: Looks) -> Iterator[tuple[Markup, str]]:
    match chart:
        case Lines():
            for line in chart.lines:
                colour, stroke = looks.colour(line.name, line.colour), Markup("")
                if line.joined:
                    stroke = path("M0 6H24", f"l {colour.css}{' dashed' if line.dashed else ''}")
                yield swatch(stroke + mark(12, 6, looks.number(line.name), colour)), line.name
        case Bars():
            for bar in chart.bars:
                yield swatch(rectangle(0, 1, 14, 10, f"b {looks.colour(bar.name, bar.colour).css}"), 14), bar.name
        case Histogram():
            for name in chart.counts:
                yield swatch(path("M0 6H24", f"l {looks.colour(name).css}")), name
    for level in chart.levels if isinstance(chart, Lines | Forest) else ():
        if level.name:
            yield swatch(path("M0 6H24", "level")), level.name


def _picture(chart: Image) -> Markup:
    from PIL import Image as Pixels

    high, wide = len(chart.pixels), len(chart.pixels[0]) if chart.pixels else 0
    values = [
        round(255 * min(1.0, max(0.0, value)))
        for row in chart.pixels
        for pixel in row
        for value in ((pixel,) * 3 if isinstance(pixel, float | int) else pixel)
    ]
    content = io.BytesIO()
    Pixels.frombytes("RGB", (wide, high), bytes(values)).save(content, "PNG")
    return Markup('<img src="data:image/png;base64,{}" alt="{}" class="pixels">').format(
        base64.b64encode(content.getvalue()).decode("ascii"), in_words(chart)
    )

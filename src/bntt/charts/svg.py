"""Pictures on pages: matplotlib's SVG, inline, in classes of one style sheet that follows light and dark mode."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from io import BytesIO
from xml.etree import ElementTree

from markupsafe import Markup, escape

from bntt.charts.files import INVALID, METHODS, SHADES, Looks, draw_figure, names_in, reproducible, short, wrapped
from bntt.charts.records import MEASURES, Chart, Figure, Forest, HeatMap

WIDTH = 4.2
"""Inches; in a column of 360 pixels, the width of a phone, letters of 8 points are then 9.5 pixels high."""
INKS = {
    "#000000": "#e6e8eb", "#333333": "#cfd3d8", "#595959": "#a3aab5", "#b0b0b0": "#7a818c", "#ffffff": "#15171a",
    "#d9d9d9": "#3a3f47",
    INVALID: "#ff9a8f",
}  # fmt: skip
DARK = dict((*METHODS.values(), *SHADES)) | INKS
"""The colour of each in dark mode."""


class Pictures:
    """The charts of a page: drawn without title and note, which the page says itself."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}
        self.count = 0

    def draw(self, chart: Chart, looks: Looks) -> Markup:
        """Draw a chart in the looks of all that are seen together, without what a page has no use for."""
        self.count, content = self.count + 1, BytesIO()
        with reproducible(f"chart {self.count}"):  # the names of its parts are its own
            drawing = draw_figure(Figure("", (narrow(replace(chart, title="", note="")),)), looks, width=WIDTH)
            drawing.patch.set_visible(False)
            for axes in drawing.axes:
                axes.patch.set_visible(isinstance(chart, HeatMap))  # where a cell has no value it is seen
            drawing.savefig(content, format="svg", metadata={"Date": None})
        drawn = short(content.getvalue()).decode()
        view = ElementTree.fromstring(drawn).get("viewBox")
        _, _, inside = drawn.partition("<svg")[2].partition(">")
        inside = re.sub(r"<(metadata|style).*?</\1>|<!--.*?-->", "", inside, flags=re.DOTALL)
        inside = re.sub(r'<g id="[^"]*"', "<g", " ".join(inside.split())).replace("xlink:href", "href")
        inside = re.sub(r' transform="rotate\(-0 [^"]*"|(?<=>) (?=<)|<g/>', "", inside)
        inside = re.sub(r' style="([^"]*)"', self._as_class, inside)
        return Markup(f'<svg class="chart" role="img" aria-label="{escape(_said(chart))}" viewBox="{view}">{inside}')

    def _as_class(self, style: re.Match[str]) -> str:
        rule = re.sub(r"font: ?[^;]*?([\d.]+px)[^;]*", r"font-size:\1", unescape(style[1]))
        rule = re.sub(r"(?<=[:;]) ", "", rule)
        return f' class="{self.classes.setdefault(rule, f"a{len(self.classes)}")}"' if rule else ""

    def rules(self) -> str:
        """Return the style sheet of what was drawn so far."""
        light = "".join(f"--{colour[1:]}:{colour};" for colour in DARK)
        dark = "".join(f"--{colour[1:]}:{shown};" for colour, shown in DARK.items())
        rules = "".join(f".{name}{{{rule}}}" for rule, name in self.classes.items())
        named = re.sub("|".join(DARK), lambda found: f"var(--{found[0][1:]})", rules)
        return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{named}"


def narrow(chart: Chart) -> Chart:
    """Break long names, and leave out some that would stand on each other, in the width of a page's chart."""
    if isinstance(chart, Forest):
        return replace(chart, entries=[replace(one, name=wrapped(one.name, 30)) for one in chart.entries])
    if isinstance(chart, HeatMap):
        every = 1 + len(chart.columns) // 20
        columns = [name if i % every == 0 else "" for i, name in enumerate(chart.columns)]
        return replace(chart, rows=[wrapped(name, 16) for name in chart.rows], columns=columns)
    return chart


def _said(chart: Chart) -> str:
    """Say what a chart shows: its title, the quantities along its axes and the names of its series."""
    axes = [getattr(chart, name).label for name in (MEASURES.get(type(chart), ""), "x") if hasattr(chart, name)]
    names = chart.rows if isinstance(chart, HeatMap) else names_in([chart])
    return f"{chart.title}: {' by '.join(dict.fromkeys(axes))}; {', '.join(names)}".strip(" :;")

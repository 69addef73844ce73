"""Pictures on pages: matplotlib's SVG, inline, in classes of one style sheet that follows light and dark mode."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from xml.etree import ElementTree

from markupsafe import Markup, escape

from bntt.charts.files import INVALID, MEASURES, METHODS, SHADES, Looks, draw_figure, names_in, reproducible, wrapped
from bntt.charts.records import Chart, Figure, Forest, HeatMap

WIDTH = 4.2
"""Inches; in a column of 360 pixels, the width of a phone, letters of 8 points are then 9.5 pixels high."""
INKS = {
    "#000000": "#e6e8eb", "#333333": "#cfd3d8", "#595959": "#a3aab5", "#b0b0b0": "#7a818c", "#ffffff": "#15171a",
    "#d9d9d9": "#3a3f47",
    INVALID: "#ff9a8f",
}  # fmt: skip
DARK = {one.light: one.dark for one in (*METHODS.values(), *SHADES)} | INKS
"""The colour of each in dark mode."""
USED = re.compile(r"(#[mpC][0-9a-f_]{7,})")
"""A reference to a part of the drawing; other parts need no name."""


class Pictures:
    """The charts of a page: drawn without title and note, which the page says itself."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.shapes: dict[str, str] = {}
        self.count = 0

    def draw(self, chart: Chart, looks: Looks) -> Markup:
        """Draw a chart in the looks of all that are seen together."""
        self.count, content = self.count + 1, BytesIO()
        with reproducible(f"chart {self.count}"):
            drawing = draw_figure(Figure("", (narrow(replace(chart, title="", note="")),)), looks, width=WIDTH)
            drawing.patch.set_visible(False)
            for axes in drawing.axes:
                axes.patch.set_visible(isinstance(chart, HeatMap))  # where a cell has no value it is seen
            drawing.savefig(content, format="svg", metadata={"Date": None})
        drawn = ElementTree.fromstring(content.getvalue())
        for name in USED.findall(content.getvalue().decode()):
            self.names.setdefault(name, f"p{len(self.names)}")
        head = f'<svg class="chart" role="img" aria-label="{escape(_said(chart))}" viewBox="{drawn.get("viewBox")}">'
        return Markup(f"{head}{''.join(map(self._written, drawn))}</svg>")

    def _written(self, node: ElementTree.Element) -> str:
        """Write an element without what a page has no use for: what made the file, names of groups, its own rules."""
        kind, said = node.tag.rpartition("}")[2], ""
        if kind == "defs" and len(node) == 1 and "d" in node[0].attrib:  # a mark: the page holds each shape once
            node[0].set("style", re.sub(r"(?<!-)stroke: [^;]*;? ?", "", node[0].get("style", "")))  # its use has it
            shape, name = f"{_rounded(node[0].attrib['d'])}{node[0].attrib['style']}", f"#{node[0].attrib['id']}"
            if self.shapes.setdefault(shape, self.names[name]) != self.names[name]:
                self.names[name] = self.shapes[shape]
                return ""
        uses = [part for part in node if part.tag.endswith("}use")]
        if len(uses) > 1 and len({part.get("style") for part in uses}) == 1:  # all marks of a line look alike
            node.set("style", {part.attrib.pop("style") for part in uses}.pop())
        inside = escape((node.text or "").strip()) + Markup("").join(Markup(self._written(part)) for part in node)
        for key, value in node.attrib.items():
            name = key.rpartition("}")[2]
            if name == "style":
                rule = re.sub(r"(?<=[:;]) ", "", re.sub(r"font: ?[^;]*?([\d.]+px)[^;]*", r"font-size:\1", value))
                name, value = "class", value and self.classes.setdefault(rule, f"a{len(self.classes)}")
            elif name == "id":
                value = self.names.get(f"#{value}", "")
            elif name in ("d", "x", "y", "transform", "clip-path", "href"):
                value = USED.sub(lambda found: f"#{self.names[found[0]]}", _rounded(value))
            said += f' {name}="{escape(value)}"' if value else ""
        if kind in ("metadata", "style") or (kind in ("g", "defs") and not inside):
            return ""
        whole = f"<{kind}{said}>{inside}</{kind}>" if inside else f"<{kind}{said}/>"
        return inside if kind == "g" and not said else whole

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


def _rounded(way: str) -> str:
    """Cut coordinates to tenths, those of straight lines relative to each other, and white space."""
    way = re.sub(r"(\.\d)\d+", r"\1", " ".join(way.split()))
    if re.fullmatch(r"M[-\d. ]+(L[-\d. ]+){3,}", way):
        places = [[float(number) for number in part.split()] for part in way[1:].split("L")]
        steps = ((round(b - a, 1) for a, b in zip(*two, strict=True)) for two in pairwise(places))
        way = f"M{places[0][0]:g} {places[0][1]:g}l" + " ".join(f"{x:g} {y:g}" for x, y in steps)
    return re.sub(r"(?<=[A-Za-z]) | (?=[A-Za-z-])", "", re.sub(r"\.0\b|rotate\(-0 [^)]*\)", "", way))

"""Pictures on pages: matplotlib's SVG, inline, in classes of one style sheet that follows light and dark mode."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from xml.etree import ElementTree

from markupsafe import Markup, escape

from bntt.charts.colours import METHODS, SHADES, Looks
from bntt.charts.files import draw_figure, reproducible
from bntt.charts.records import Chart, Figure

INKS = {"#000000": "#e6e8eb", "#333333": "#cfd3d8", "#595959": "#a3aab5", "#b0b0b0": "#7a818c", "#ffffff": "#15171a"}
DARK = {one.light: one.dark for one in (*METHODS.values(), *SHADES)} | INKS
"""The colour of each in dark mode."""
USED = re.compile(r"(#[mpC][0-9a-f_]{7,})")
"""A reference to a part of the drawing; other parts need no name."""


class Pictures:
    """The charts of a page: drawn without title and note, which the page says itself."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.count = 0

    def draw(self, chart: Chart, looks: Looks) -> Markup:
        """Draw a chart in the looks of all that are seen together."""
        self.count, content = self.count + 1, BytesIO()
        with reproducible(f"chart {self.count}"):
            drawing = draw_figure(Figure("", (replace(chart, title="", note=""),)), looks)
            drawing.savefig(content, format="svg", transparent=True, metadata={"Date": None})
        drawn = ElementTree.fromstring(content.getvalue())
        for name in USED.findall(content.getvalue().decode()):
            self.names.setdefault(name, f"p{len(self.names)}")
        says = escape(f"{chart.title}. {chart.note}".strip(". "))
        head = f'<svg class="chart" role="img" aria-label="{says}" viewBox="{drawn.get("viewBox")}">'
        return Markup(f"{head}{''.join(map(self._written, drawn))}</svg>")

    def _written(self, node: ElementTree.Element) -> str:
        """Write an element without what a page has no use for: what made the file, names of groups, its own rules."""
        kind, said = node.tag.rpartition("}")[2], ""
        inside = escape((node.text or "").strip()) + Markup("").join(Markup(self._written(part)) for part in node)
        for key, value in node.attrib.items():
            name = key.replace("{http://www.w3.org/1999/xlink}", "xlink:")
            if name == "style":
                name, value = "class", self._class(value)
            elif name == "id":
                value = self.names.get(f"#{value}", "")
            elif name in ("d", "x", "y", "transform", "clip-path", "xlink:href"):
                value = USED.sub(lambda found: f"#{self.names[found[0]]}", _rounded(value))
            said += f' {name}="{escape(value)}"' if value else ""
        if kind in ("metadata", "style") or (kind in ("g", "defs") and not inside):
            return ""
        whole = f"<{kind}{said}>{inside}</{kind}>" if inside else f"<{kind}{said}/>"
        return inside if kind == "g" and not said else whole

    def _class(self, style: str) -> str:
        rule = re.sub(r"font: ?[^;]*?([\d.]+px)[^;]*", r"font-size:\1", style)
        return self.classes.setdefault(re.sub(r"(?<=[:;]) ", "", rule), f"a{len(self.classes)}")

    def rules(self) -> str:
        """Return the style sheet of what was drawn so far."""
        light, dark = (
            "".join(f"--{colour[1:]}:{shown};" for colour, shown in pairs)
            for pairs in (((colour, colour) for colour in DARK), DARK.items())
        )
        rules = "".join(f".{name}{{{rule}}}" for rule, name in self.classes.items())
        named = re.sub("|".join(DARK), lambda found: f"var(--{found[0][1:]})", rules)
        return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{named}"


def _rounded(way: str) -> str:
    """Cut coordinates to tenths, and white space that separates nothing."""
    way = re.sub(r"(\.\d)\d+", r"\1", " ".join(way.split()))
    return re.sub(r"(?<=[A-Za-z]) | (?=[A-Za-z])", "", re.sub(r"\.0\b|rotate\(-0 [^)]*\)", "", way))

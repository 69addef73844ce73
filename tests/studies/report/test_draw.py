"""Figures as SVG: well formed, escaped, the same bytes, in the page's own classes."""

import re
from xml.etree import ElementTree

from bntt.studies.report import draw
from bntt.studies.report.chart import Bars, Chart, Line, line, over_steps

HOSTILE = "<script>alert(1)</script>\"'&"


def svg_of(chart):
    text = str(draw.drawn(chart))
    assert text == str(draw.drawn(chart))
    return ElementTree.fromstring(text)


def test_lines_are_drawn_with_their_text_alternative():
    rows = {"conv1": [0.1, 0.4, 0.2], "fc1": [None, 0.3, 0.1]}
    root = svg_of(Chart("γ", "time step", "mean |γ|", over_steps(rows), level=0.2, level_name="threshold"))
    assert root.get("role") == "img"
    assert "conv1: from 0.1 at 1" in root.get("aria-label")
    kinds = [element.get("class", "") for element in root.iter("path")]
    assert kinds.count("l c0 d0") == kinds.count("l c1 d0") == 1
    assert sum(kind.startswith("m ") for kind in kinds) == 5
    assert "level" in kinds
    assert {"time step", "mean |γ|"} <= {element.text for element in root.iter("text")}


def test_names_are_escaped():
    for chart in (
        Chart("t", HOSTILE, HOSTILE, (line(HOSTILE, [1, 2], [1.0, 2.0]),)),
        Chart("t", HOSTILE, HOSTILE, names=(HOSTILE,), bars=(Bars(HOSTILE, (1.0,)),)),
    ):
        root = svg_of(chart)
        assert {element.tag for element in root.iter()} <= {"svg", "path", "text", "rect"}
        assert HOSTILE in root.get("aria-label")


def test_rows_that_are_worth_nothing_are_crossed_out():
    of = Line("pgd", (1.0, 2.0), (0.5, 0.4), 0, (0.4, 0.3), (0.6, 0.5), crossed=(1,))
    kinds = [element.get("class") for element in svg_of(Chart("t", "ε", "accuracy", (of,))).iter("path")]
    assert kinds.count("cross") == 1
    assert "band c0" in kinds


def test_an_interval_of_one_place_is_a_stroke():
    root = svg_of(Chart("t", "ε", "y", (Line("a", (8.0,), (0.5,), 0, (0.4,), (0.6,)),)))
    assert any(e.get("class") == "l c0" for e in root.iter("path"))


def test_zeros_have_no_logarithm():
    root = svg_of(Chart("t", "x", "y", (line("a", [1, 2, 3], [1.0, 0.001, 1.0]),), logarithmic=True))
    assert root is not None
    holed = Line("a", (1.0, 2.0), (1.0, 0.0), 0, (0.0, 0.0), (1.0, 1.0))
    assert svg_of(Chart("t", "x", "y", (holed,), logarithmic=True)) is not None


def test_many_lines_differ_by_dashes():
    chart = Chart("t", "x", "y", over_steps({name: [1.0, 2.0] for name in "abcdefghijkl"}))
    kinds = {element.get("class") for element in svg_of(chart).iter("path")}
    assert {"l c0 d0", "l c0 d1"} <= kinds


def test_bars():
    chart = Chart("t", "", "spikes", names=("conv1", "fc1"), bars=(Bars("a", (2.0, None)), Bars("b", (0.0, 1.0), 6)))
    rects = [element.attrib for element in svg_of(chart).iter("rect")]
    assert [rect["class"] for rect in rects] == ["b c0", "b c6", "b c6"]
    assert float(rects[0]["width"]) > float(rects[2]["width"]) > float(rects[1]["width"]) > 0


def test_nothing_draws_by_style_attributes():
    """Which the page's own policy refuses."""
    drawn = draw.drawn(Chart("t", "x", "y", over_steps({"a": [1.0, 2.0]}))) + draw.swatch(0, 1) + draw.level()
    assert not re.search(r"\bstyle=|xlink|href|\bon\w+=", str(drawn + draw.swatch(0, 1, bar=True)))

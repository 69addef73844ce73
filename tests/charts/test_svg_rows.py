"""Bars, forests and heat maps of the page."""

from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from bntt.charts.colours import looks_of
from bntt.charts.records import STEPS, Axis, Bar, Bars, HeatMap
from bntt.charts.svg_rows import bar_height, bars, forest, forest_height, heat_map, heat_map_height
from tests.charts.every_kind import charts

NAMES, VALUES = ["conv1", "fc1"], [Bar("bntt", [2.0, None]), Bar("bn", [0.0, 1.0])]


def elements(parts, tag):
    return [one.attrib for one in ElementTree.fromstring(Markup("<g>{}</g>").format(Markup("").join(parts))).iter(tag)]


def drawn(chart):
    return elements(bars(chart, looks_of([chart])), "rect")


def test_bars_are_as_long_as_their_values():
    rects = drawn(Bars("t", Axis("spikes"), NAMES, VALUES))
    assert [rect["class"] for rect in rects] == ["b c-bntt", "b c-bn", "b c-bn"]
    assert float(rects[0]["width"]) > float(rects[2]["width"]) > float(rects[1]["width"]) > 0
    assert len({rect["y"] for rect in rects}) == 3


def test_stacked_bars_follow_each_other_in_a_row():
    first, second, _ = drawn(Bars("t", Axis("spikes"), NAMES, [VALUES[0], Bar("bn", [1.0, 1.0])], stacked=True))
    assert float(second["x"]) == pytest.approx(float(first["x"]) + float(first["width"]), abs=0.02)
    assert first["y"] == second["y"]
    assert bar_height(Bars("", Axis(""), NAMES, VALUES)) > bar_height(Bars("", Axis(""), NAMES, VALUES, stacked=True))


def test_intervals_and_starts_are_drawn():
    _, chart, rows, *_ = charts()
    assert [one["class"] for one in elements(bars(chart, looks_of([chart])), "path")].count("spread") == 2
    kinds = [one["class"] for one in elements(forest(rows, looks_of([rows])), "path")]
    assert kinds.count("spread") == 2
    assert {"l c-bntt", "m c-bntt", "cross", "level"} <= set(kinds)
    assert forest_height(rows) > 0


def test_a_heat_map_is_the_fainter_the_less_there_is():
    chart = charts()[3]
    cells = elements(heat_map(chart), "rect")
    assert [float(cell.get("fill-opacity", 1)) for cell in cells] == [0.08, 1, pytest.approx(0.54)]
    assert [one["class"] for one in elements(heat_map(chart), "path")] == ["grid"]
    assert heat_map_height(chart) > 30
    wide = HeatMap("", STEPS, ["a"], [str(i) for i in range(200)], [[1.0] * 200], Axis("v"))
    assert 5 < len(elements(heat_map(wide), "text")) < 40

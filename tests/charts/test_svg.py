"""Charts on a page: well formed, escaped, in classes of its style sheet, which follows light and dark mode."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bntt.charts.files import METHODS, SHADES, draw_figure, looks_of
from bntt.charts.records import STEPS, Axis, Entry, Figure, Forest, HeatMap
from bntt.charts.svg import DARK, INKS, WIDTH, Pictures, narrow
from tests.charts.every_kind import charts, layers

TAGS = ("svg", "g", "path", "text", "use", "defs", "clipPath", "rect", "image")
HOSTILE = "<script>alert(1)</script>\"'&"


def drawn(*shown):
    """The charts of a page as elements, and its style sheet."""
    page, looks = Pictures(), looks_of(shown)
    return [ElementTree.fromstring(page.draw(chart, looks)) for chart in shown], page.rules()


@pytest.mark.parametrize("chart", charts(HOSTILE), ids=lambda chart: type(chart).__name__)
def test_every_kind_is_an_escaped_picture(chart):
    (root,), rules = drawn(chart)
    assert {element.tag for element in root.iter()} <= set(TAGS)
    assert (root.get("role"), HOSTILE in root.get("aria-label")) == ("img", True)
    given = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in given if name == "style" or name.startswith("on")}, "the page's policy refuses it"
    assert {element.get("class") for element in root.iter()} - {None, "chart"} <= set(re.findall(r"\.(a\d+){", rules))


def test_the_same_charts_are_the_same_bytes_and_share_no_name():
    roots, rules = drawn(layers("a", "b"), layers("a", "b"))
    assert drawn(layers("a", "b"), layers("a", "b"))[1] == rules
    named = [{element.get("id") for element in root.iter()} - {None} for root in roots]
    assert not named[0] & named[1]
    used = re.findall(r"#(\w+)", " ".join(value for root in roots for e in root.iter() for value in e.attrib.values()))
    assert set(used) == named[0] | named[1]


def test_letters_can_be_read_on_a_phone():
    """A column of 358 pixels; tick labels have 10 points, all others 9 or 8."""
    roots, rules = drawn(*charts())
    sizes = [float(size) for size in re.findall(r"font-size:([\d.]+)px", rules)]
    assert all(float(root.get("viewBox").split()[2]) == pytest.approx(72 * WIDTH) for root in roots)
    assert min(sizes) * 358 / (72 * WIDTH) >= 9


def test_long_names_stand_beside_each_other():
    names = [f"CIFAR-10 (JPEG copy, reduced): surrogate gradient alone, {i}" for i in range(5)]
    forest = Forest("", Axis("accuracy"), [Entry(name, 0.5, colour="bn") for name in names])
    figure = draw_figure(Figure("", [narrow(forest)]), width=WIDTH)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(below.y1 < above.y0 for above, below in pairwise(boxes))
    steps = narrow(HeatMap("", STEPS, ["a"], [str(i) for i in range(1, 101)], [[1.0] * 100], Axis("")))
    assert len([name for name in steps.columns if name]) <= 20


def test_every_colour_has_one_in_dark_mode():
    assert len(DARK) == len({light for light, _ in (*METHODS.values(), *SHADES)} | set(INKS))
    _, rules = drawn(*charts("bntt"))
    assert {"stroke:var(--d1410c)", "stroke:var(--a61b1b)"} <= set(re.findall(r"stroke:[^;}]+", rules))
    assert not re.findall(r"(?:fill|stroke):#", rules)
    light, dark = (re.search(rf"{start}:root{{(.*?)}}", rules)[1] for start in ("^", r"dark\){"))
    assert "--d1410c:#d1410c;" in light
    assert "--d1410c:#ff7a45;" in dark
    assert set(re.findall(r"var\((--\w+)\)", rules)) <= set(re.findall(r"(--\w+):", dark))

"""Charts on a page: well formed, escaped, in classes of its style sheet, which follows light and dark mode."""

import re
from xml.etree import ElementTree

import pytest

from bntt.charts.colours import METHODS, SHADES, looks_of
from bntt.charts.svg import DARK, INKS, Pictures
from tests.charts.every_kind import charts, layers

HOSTILE = "<script>alert(1)</script>\"'&"


def drawn(*shown):
    """The charts of a page as elements, and its style sheet."""
    page, looks = Pictures(), looks_of(shown)
    texts = [str(page.draw(chart, looks)) for chart in shown]
    return [ElementTree.fromstring(text.replace("xlink:href", "href")) for text in texts], page.rules()


@pytest.mark.parametrize("chart", charts(HOSTILE), ids=lambda chart: type(chart).__name__)
def test_every_kind_is_an_escaped_picture(chart):
    (root,), rules = drawn(chart)
    assert {element.tag for element in root.iter()} <= {
        "svg",
        "g",
        "path",
        "text",
        "use",
        "defs",
        "clipPath",
        "rect",
        "image",
    }
    assert (root.get("role"), HOSTILE in root.get("aria-label")) == ("img", True)
    given = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in given if name == "style" or name.startswith("on")}, "the page's policy refuses it"
    assert {element.get("class") for element in root.iter()} - {None, "chart"} <= set(re.findall(r"\.(a\d+){", rules))


def test_the_same_charts_are_the_same_bytes_and_share_no_name():
    roots, rules = drawn(layers("a", "b"), layers("a", "b"))
    assert drawn(layers("a", "b"), layers("a", "b"))[1] == rules
    named = [{element.get("id") for element in root.iter()} - {None} for root in roots]
    assert named[0]
    assert not named[0] & named[1]
    for root, names in zip(roots, named, strict=True):
        used = re.findall(r"#(\w+)", " ".join(value for element in root.iter() for value in element.attrib.values()))
        assert set(used) == names


def test_every_colour_has_one_in_dark_mode():
    assert len(DARK) == len({one.light for one in (*METHODS.values(), *SHADES)} | set(INKS))
    _, rules = drawn(*charts("bntt"))
    assert "stroke:var(--d1410c)" in rules
    light, dark = (re.search(rf"{start}:root{{(.*?)}}", rules)[1] for start in ("^", r"dark\){"))
    assert "--d1410c:#d1410c;" in light
    assert "--d1410c:#ff7a45;" in dark
    assert set(re.findall(r"var\((--\w+)\)", rules)) <= set(re.findall(r"(--\w+):", dark))

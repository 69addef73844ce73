"""Charts of the page: well formed, escaped, the same bytes, in the page's own classes."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as Pixels

from bntt.charts.colours import looks_of
from bntt.charts.page import draw, legend_of
from bntt.charts.records import STEPS, Image, Level, Lines
from tests.charts.every_kind import SHARE, charts, layers

HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.mark.parametrize("number", range(5))
def test_every_kind_is_an_escaped_picture_with_words(number):
    chart = charts(HOSTILE)[number]
    looks = looks_of([chart])
    text = str(draw(chart, looks))
    assert text == str(draw(chart, looks))
    root = ElementTree.fromstring(text)
    assert {element.tag for element in root.iter()} <= {"svg", "path", "text", "rect"}
    assert (root.get("role"), HOSTILE in root.get("aria-label")) == ("img", True)
    shown = text + "".join(str(swatch) for swatch, _ in legend_of(chart, looks))
    assert not re.search(r"\bstyle=|xlink|href|\bon\w+=", shown.replace("onerror", "")), "the page's policy refuses it"


def test_pixels_are_an_image():
    for pixels, first in (([[0.0, 1.0]], [0, 0, 0]), ([[[1.0, 0.5, 2.0], [0, 0, 0]]], [255, 128, 255])):
        chart = Image(HOSTILE, pixels)
        element = ElementTree.fromstring(str(draw(chart, looks_of([chart]))).replace('"pixels">', '"pixels"/>'))
        kind, _, content = element.get("src").partition(",")
        assert kind == "data:image/png;base64"
        assert HOSTILE in element.get("alt")
        seen = np.array(Pixels.open(io.BytesIO(base64.b64decode(content))))
        assert seen.shape == (1, 2, 3)
        assert seen[0, 0].tolist() == first


def test_legends_name_several_series_and_levels():
    def names(chart):
        return [name for _, name in legend_of(chart, looks_of([chart]))]

    assert names(layers("a", "b")) == ["a", "b"]
    assert names(layers("a")) == []
    marked = Lines("", STEPS, SHARE, layers("a").lines, [Level(0.1, "chance"), Level(0.2)])
    assert names(marked) == ["a", "chance"]
    assert names(charts()[1]) == []

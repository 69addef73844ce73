"""Charts of the page: well formed, escaped, the same bytes, in the page's own classes."""

import base64
import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image as Pixels

from bntt.charts.colours import METHODS, looks_of
from bntt.charts.page import bar_height, bars, draw, forest, forest_height, heat_map, heat_map_height, legend_of
from bntt.charts.records import STEPS, Axis, Bar, Bars, Entry, Forest, HeatMap, Histogram, Image, Level, Line, Lines
from bntt.charts.svg_lines import FEW, MOST_POINTS, histogram, lines, mark, rectangle, shortened, swatch, text
from tests.charts.every_kind import SHARE, charts, layers

HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.mark.parametrize("chart", charts(HOSTILE)[:5], ids=lambda chart: type(chart).__name__)
def test_every_kind_is_an_escaped_picture_with_words(chart):
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


def classes(chart):
    return re.findall(r'class="([^"]*)"', Markup("").join(lines(chart, looks_of([chart]))))


def of(*lines_, axis=None, levels=()):
    return Lines("t", STEPS, axis or Axis("y"), lines_, levels)


def test_a_logarithmic_axis_has_no_place_for_0():
    none = Line("ANN", [0.0, 0.0], [0.9, 0.8], "ann", joined=False, invalid=(0,))
    some = Line("BNTT", [100.0, 200.0], [0.7, 0.6], "bntt", joined=False)
    found = classes(Lines("t", Axis("spikes", scale="log"), Axis("y"), [none, some]))
    assert [kind for kind in found if kind.startswith(("m ", "cross"))] == ["m c-bntt", "m c-bntt"]


def test_lines_are_open_where_there_is_no_value():
    values = [0.1, 0.4, None, 0.3, float("nan")]
    found = classes(of(Line("a", range(5), values, "bntt")))
    assert found.count("l c-bntt") == 1
    assert found.count("m c-bntt") == 3
    chart = of(Line("a", range(7), [0.5] * 7, "bn", low=[*values, 0.2, 0.2], high=[*values, 0.6, 0.6]))
    drawn = Markup("").join(lines(chart, looks_of([chart])))
    bands = re.findall(r'd="([^"]*)" class="band c-bn"', drawn)
    assert [band.count("L") for band in bands] == [3, 3], "two places each, and nothing over the gaps"
    assert len(re.findall(r'd="M[\d.]+ [\d.]+V[\d.]+" class="l c-bn"', drawn)) == 1, "the one between the gaps"


def test_rows_that_are_worth_nothing_are_crossed_out_in_their_band():
    found = classes(of(Line("a", [1, 2], [0.5, 0.4], "bn", [0.4, 0.3], [0.6, 0.5], invalid=[1])))
    assert found.count("cross") == 1
    assert "band c-bn" in found


def test_an_interval_of_one_place_is_a_stroke():
    assert "l c-bn" in classes(of(Line("a", [8], [0.5], "bn", [0.4], [0.6])))


def test_zeros_have_no_logarithm():
    holed = Line("a", [1, 2], [1.0, 0.0], "bn", [0.0, 0.0], [1.0, 1.0], invalid=[1])
    found = classes(of(holed, axis=Axis("y", scale="log")))
    assert found.count("m c-bn") == 1
    assert not {"band c-bn", "cross"} & set(found)
    silent = Entry("fc1", 0.0, 0.0, 0.0, [0.0], "bn")
    rows = Forest("t", Axis("x", scale="log"), [Entry("conv1", 3.0, 0.0, 9.0, [0.0, 2.0], "bn"), silent])
    for entries, said in ((rows.entries, 1), (rows.entries[1:], 0)):  # alone it has a linear axis
        chart = replace(rows, entries=entries)
        kinds = [one["class"] for one in elements(forest(chart, looks_of([chart])), "path")]
        assert [kinds.count(kind) for kind in ("m c-bn", "spread", "l c-bn")] == [1, 1, 1]
        words = re.findall(r'text-anchor="start">([^<]*)<', Markup("").join(forest(chart, looks_of([chart]))))
        assert words == ["0"] * said


def test_how_lines_are_drawn():
    assert "l c-bn dashed" in classes(of(Line("a", [1, 2], [1.0, 2.0], "bn", dashed=True)))
    single = classes(of(Line("a", [1, 2], [1.0, 2.0], "bn", joined=False)))
    assert (single.count("m c-bn"), "l c-bn" in single) == (2, False)
    chart = of(Line("a", [1, 2, 3], [1.0, 2.0, 1.0], "bn", stepped=True))
    (way,) = re.findall(r'd="([^"]*)" class="l c-bn"', Markup("").join(lines(chart, looks_of([chart]))))
    assert re.fullmatch(r"M[\d. ]+H[\d.]+V[\d.]+H[\d.]+V[\d.]+", way)


def ways(heights, **options):
    """Return the paths of a line on an axis from 0.8 (y = 228) to 1.0 (y = 24), and the heights of its marks."""
    line = Line("a", [*range(1, len(heights) + 1)], heights, "bn", **options)
    chart = Lines("t", STEPS, Axis("accuracy", low=0.8, high=1.0), [line])
    found = Markup("").join(lines(chart, looks_of([chart])))
    marks = re.findall(r'translate\([\d.]+ ([\d.]+)\)" class="m c-bn"', found)
    drawn = "".join(re.findall(r'd="(M[^"]*)" class="l c-bn"', found))
    return [re.sub(r"([MHL])[\d.]+", r"\1x", part) for part in re.split("(?=M)", drawn) if part], marks


def test_a_line_is_cut_where_it_leaves_the_axis():
    assert ways([0.1, 0.9, 1.0]) == (["Mx 228Lx 126Lx 24"], ["126", "24"]), "from below; no mark for what is below"
    assert ways([0.9, 0.1, 1.0])[0] == ["Mx 126Lx 228", "Mx 228Lx 24"]
    assert ways([0.1, 1.0, 0.1])[0] == ["Mx 228Lx 24Lx 228"]
    assert ways([0.1, 0.2, 0.3]) == ([], []), "nothing of it is on the axis"
    assert ways([1.0, 0.5, 0.9, 0.9], stepped=True)[0] == ["Mx 24HxV228", "Mx 228V126HxHx"]


def test_long_lines_are_thinned_and_bear_no_marks():
    chart = layers("a", steps=3 * MOST_POINTS)
    drawn = Markup("").join(lines(chart, looks_of([chart])))
    assert "m s-0" not in drawn
    assert re.search(r'd="(M[^"]*)" class="l s-0"', drawn)[1].count("L") == MOST_POINTS - 1
    assert MOST_POINTS > FEW


def test_levels_stand_at_heights_and_places():
    assert classes(of(Line("a", [1, 2], [1.0, 2.0]), levels=[Level(1.5), Level(2, at="x")])).count("level") == 2


def test_a_histogram_is_filled_where_it_is_alone():
    alone = Histogram("t", STEPS, Axis("n"), [0, 1, 2], {"a": [1, 2]})
    assert 'class="b s-0"' in Markup("").join(histogram(alone, looks_of([alone])))
    two = Histogram("t", STEPS, Axis("n"), [0, 1, 2], {"a": [1, 2], "b": [2, 1]})
    assert {"l s-0", "l s-23"} <= set(re.findall(r'class="([^"]*)"', Markup("").join(histogram(two, looks_of([two])))))


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


def test_words_are_escaped_and_shortened():
    assert text(1, 2.0, "<b>", "end", "name") == '<text x="1" y="2" text-anchor="end" class="name">&lt;b&gt;</text>'
    assert shortened("a long name", 40) == "a l…me"
    assert shortened("short", 40) == "short"


def test_shapes_are_of_classes():
    assert 'class="m c-bntt"' in mark(1, 2, 9, METHODS["bntt"])
    assert rectangle(0, 0, 1, 2, "b c-bn", 0.5).endswith('class="b c-bn" fill-opacity="0.5"/>')
    assert "opacity" not in rectangle(0, 0, 1, 2, "b c-bn")
    assert 'aria-hidden="true"' in swatch(mark(1, 2, 0, METHODS["bn"]))

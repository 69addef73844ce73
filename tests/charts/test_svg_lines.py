"""Lines and histograms of the page."""

import re

from markupsafe import Markup

from bntt.charts.colours import looks_of
from bntt.charts.records import STEPS, Axis, Histogram, Level, Line, Lines
from bntt.charts.svg_lines import FEW, MOST_POINTS, histogram, lines
from tests.charts.every_kind import layers


def classes(chart):
    return re.findall(r'class="([^"]*)"', Markup("").join(lines(chart, looks_of([chart]))))


def of(*lines_, axis=None, levels=()):
    return Lines("t", STEPS, axis or Axis("y"), lines_, levels)


def test_lines_are_open_where_there_is_no_value():
    found = classes(of(Line("a", range(5), [0.1, 0.4, None, 0.3, float("nan")], "bntt")))
    assert found.count("l c-bntt") == 1
    assert found.count("m c-bntt") == 3


def test_rows_that_are_worth_nothing_are_crossed_out_in_their_band():
    found = classes(of(Line("a", [1, 2], [0.5, 0.4], "bn", [0.4, 0.3], [0.6, 0.5], invalid=[1])))
    assert found.count("cross") == 1
    assert "band c-bn" in found


def test_an_interval_of_one_place_is_a_stroke():
    assert "l c-bn" in classes(of(Line("a", [8], [0.5], "bn", [0.4], [0.6])))


def test_zeros_have_no_logarithm():
    holed = Line("a", [1, 2], [1.0, 0.0], "bn", [0.0, 0.0], [1.0, 1.0])
    found = classes(of(holed, axis=Axis("y", scale="log")))
    assert found.count("m c-bn") == 1
    assert "band c-bn" not in found


def test_how_lines_are_drawn():
    assert "l c-bn dashed" in classes(of(Line("a", [1, 2], [1.0, 2.0], "bn", dashed=True)))
    single = classes(of(Line("a", [1, 2], [1.0, 2.0], "bn", joined=False)))
    assert (single.count("m c-bn"), "l c-bn" in single) == (2, False)
    chart = of(Line("a", [1, 2, 3], [1.0, 2.0, 1.0], "bn", stepped=True))
    (way,) = re.findall(r'd="([^"]*)" class="l c-bn"', Markup("").join(lines(chart, looks_of([chart]))))
    assert re.fullmatch(r"M[\d. ]+H[\d.]+V[\d.]+H[\d.]+V[\d.]+", way)


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

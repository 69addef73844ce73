"""Numbers in words."""

import pytest

from bntt.charts.records import (
    STEPS,
    Axis,
    Bar,
    Bars,
    Entry,
    Forest,
    HeatMap,
    Histogram,
    Image,
    is_empty,
    over_steps,
)
from bntt.charts.section import count, duration, gap, interval, number, plural, share
from bntt.charts.text import number_text

COUNT = Axis("spikes")


def test_numbers_as_they_are_written():
    assert [number_text(v, COUNT) for v in (0.12345, 12345.6, 0.0)] == ["0.123", "12,346", "0"]


def test_what_is_not_there_is_a_dash_or_says_so():
    assert {cell.text for cell in (share(None), count(None), number(None), interval(None, 0.5))} == {"–"}
    assert all(cell.value is None for cell in (share(None), count(None), number(None)))
    assert gap("not run").mark == "gap"


def test_numbers_are_short_and_sortable():
    assert (share(0.12345, 2).text, share(0.5).value) == ("12.35%", 0.5)
    assert (share(0.5455).text, share(0.5455).value) == ("54.5%", 0.5455)
    assert (count(3.0).text, count(1234.5).text) == ("3", "1,234")
    assert (count(5830.4).text, count(0.4217).text, count(8).text) == ("5,830", "0.422", "8")
    assert (number(0.07).text, number(100.0).text) == ("0.0700", "100")
    assert interval(0.1, 0.25).text == "10.0% to 25.0%"
    assert interval(0.5357, 0.5552).text == "53.6% to 55.5%"
    assert (plural(1000, "image"), duration(90)) == ("1,000 images", "90 s")
    assert (plural(1, "image"), plural(10_000, "image")) == ("1 image", "10,000 images")
    assert (duration(3.2), duration(600.0), duration(86400.0)) == ("3 s", "10 min", "24.0 h")


def test_lines_over_steps_count_from_one():
    (line,) = over_steps({"conv1": [0.5, None]})
    assert (list(line.x), line.y, line.colour) == ([1, 2], [0.5, None], "")
    assert over_steps({"bntt": [1.0]}, methods=True)[0].colour == "bntt"


def test_what_shows_nothing_is_empty():
    share = Axis("share", percent=True)
    for chart in (
        Bars("", share, ["a"], [Bar("x", [None])]),
        Forest("", share, [Entry("a", None)]),
        HeatMap("", STEPS, ["a"], ["1"], [[None]], share),
        Histogram("", share, share, [0, 1], {"a": [0]}),
        Image("", []),
    ):
        assert is_empty(chart)
    assert not is_empty(Forest("", share, [Entry("a", 0.0)]))
    assert not is_empty(Histogram("", share, share, [0, 1], {"a": [2]}))


def test_bars_have_no_logarithmic_axis():
    with pytest.raises(ValueError, match="make a Forest"):
        Bars("energy", Axis("energy", scale="log"), ["a"], [Bar("x", [1.0])])

"""Charts in words."""

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
    Level,
    Line,
    Lines,
    is_empty,
    over_steps,
)
from bntt.charts.section import count, duration, gap, interval, number, plural, share
from bntt.charts.text import MOST_ROWS, in_words, number_text, table_of, thinned
from tests.charts.every_kind import SHARE, charts

COUNT = Axis("spikes")


def test_words_say_where_lines_begin_end_and_are_highest():
    chart = Lines("t", STEPS, SHARE, [Line("test", [1, 2, 3], [0.1, 0.6, 0.5])], [Level(0.3, "chance")])
    assert in_words(chart) == (
        "Line chart of accuracy against time step. test: from 10.0% at 1 to 50.0% at 3, highest 60.0% at 2. "
        "Marked: chance."
    )
    one, other = Line("a", [1, 2], [None, 4.0]), Line("b", [1], [None])
    assert "a: 4 at 2. b: no values." in in_words(Lines("t", STEPS, COUNT, [one, other]))


def test_points_that_share_a_place_are_all_in_the_table():
    ann, other = (
        Line("ANN", [0.0, 0.0, 5.0], [1.0, 2.0, 3.0], joined=False),
        Line("b", [5.0, 0.0], [4.0, 5.0], joined=False),
    )
    rows = [[cell.text for cell in row] for row in table_of(Lines("t", COUNT, COUNT, [ann, other])).rows]
    assert rows == [["0", "1", "5"], ["0", "2", "–"], ["5", "3", "4"]]


def test_many_lines_are_counted():
    many = over_steps({str(i): [1.0, 2.0] for i in range(15)})
    assert in_words(Lines("t", STEPS, COUNT, many)).endswith("And 3 more lines.")


def test_words_of_bars():
    chart = Bars("t", COUNT, ["conv1", "fc1"], [Bar("ours", [1200.0, None])])
    assert in_words(chart) == "Bar chart of spikes. ours: conv1 1,200, fc1 –."


def test_words_of_many_bars_count_the_rest():
    names = [str(i) for i in range(14)]
    words = in_words(Bars("t", COUNT, names, [Bar(f"run {i}", [1.0] * 14) for i in range(13)]))
    assert words.endswith("11 1 and 2 more. And 1 more series.")
    counts = {str(i): [1, 2] for i in range(13)}
    assert in_words(Histogram("t", COUNT, COUNT, [0, 1, 2], counts)).endswith(" And 1 more series.")


def test_words_of_other_kinds():
    forest, heat_map, histogram, image = (in_words(chart) for chart in charts()[2:])
    assert forest == "Values of bntt. bntt 3, 2 to 5; bad 30, invalid. Marked: bntt."
    assert heat_map == "Heat map of bntt, 2 rows and 2 columns: from 0.1 (bntt, time step 1) to 10 (b, time step 1)."
    assert histogram == "Histogram of bntt. bntt: highest 3, from 1 to 2."
    assert image == "Picture of 2 rows of pixels: bntt."
    assert "without values" in in_words(HeatMap("", STEPS, ["a"], ["1"], [[None]], COUNT))
    assert "a: no values" in in_words(Histogram("", STEPS, COUNT, [], {"a": []}))


def test_numbers_as_they_are_written():
    assert [number_text(v, COUNT) for v in (0.12345, 12345.6, 0.0)] == ["0.123", "12,346", "0"]


def texts(chart):
    return [[cell.text for cell in row] for row in table_of(chart).rows]


def test_a_row_for_each_place():
    chart = Lines("t", STEPS, SHARE, over_steps({"a": [0.1, 0.2], "b": [0.3, 0.4, 0.5]}))
    assert (table_of(chart).caption, table_of(chart).columns) == ("t: accuracy", ("time step", "a", "b"))
    assert texts(chart) == [["1", "10.0%", "30.0%"], ["2", "20.0%", "40.0%"], ["3", "–", "50.0%"]]


def test_of_many_rows_some_are_shown_and_it_says_so():
    table = table_of(Lines("t", STEPS, SHARE, [Line("a", range(300), [1.0] * 300)]))
    assert len(table.rows) == MOST_ROWS
    assert table.note == "100 of 300 rows, evenly chosen."
    assert thinned(1000, 3) == [0, 500, 999]


def test_intervals_are_notes_and_rows_that_are_worth_nothing_say_so():
    rows = table_of(charts()[0]).rows
    assert (rows[0][1].text, rows[0][1].note, rows[0][1].mark) == ("90.0%", "80.0% to 100.0%", "")
    assert (rows[2][1].text, rows[2][1].mark) == ("40.0% INVALID", "bad")


def test_bars_by_name():
    assert texts(Bars("t", Axis("y"), ["conv1"], [Bar("a", [5000.0]), Bar("b", [None])])) == [["conv1", "5,000", "–"]]


def test_other_kinds():
    forest, heat_map, histogram, image = charts()[2:]
    assert texts(forest) == [["bntt", "3"], ["bad", "30 INVALID"]]
    assert texts(heat_map) == [["bntt", "0.1", "–"], ["b", "10", "1"]]
    assert texts(histogram) == [["0 to 1", "1"], ["1 to 2", "3"]]
    assert not table_of(image).rows


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

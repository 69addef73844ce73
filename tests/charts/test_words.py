"""Charts in words."""

from bntt.charts.records import STEPS, Axis, Bar, Bars, HeatMap, Histogram, Level, Line, Lines, over_steps
from bntt.charts.words import in_words, number_text
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


def test_many_lines_are_counted():
    many = over_steps({str(i): [1.0, 2.0] for i in range(15)})
    assert in_words(Lines("t", STEPS, COUNT, many)).endswith("And 3 more lines.")


def test_words_of_bars():
    chart = Bars("t", COUNT, ["conv1", "fc1"], [Bar("ours", [1200.0, None])])
    assert in_words(chart) == "Bar chart of spikes. ours: conv1 1,200, fc1 –."


def test_words_of_other_kinds():
    forest, heat_map, histogram, image = (in_words(chart) for chart in charts()[2:])
    assert forest == "Values of bntt. bntt 3, 2 to 5; bad 30, invalid. Marked: bntt."
    assert heat_map == "Heat map of bntt, 2 rows and 2 columns: from 0.1 (bntt, time step 1) to 10 (b, time step 1)."
    assert histogram == "Histogram of bntt. bntt: most, 3, from 1 to 2."
    assert image == "Picture of 2 rows of pixels: bntt."
    assert "without values" in in_words(HeatMap("", STEPS, ["a"], ["1"], [[None]], COUNT))
    assert "a: no values" in in_words(Histogram("", STEPS, COUNT, [], {"a": []}))


def test_numbers_as_they_are_written():
    assert [number_text(v, COUNT) for v in (0.12345, 12345.6, 0.0)] == ["0.123", "12,346", "0"]

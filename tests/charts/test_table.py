"""The numbers of charts."""

from bntt.charts.records import STEPS, Axis, Bar, Bars, Line, Lines, over_steps
from bntt.charts.table import MOST_ROWS, table_of, thinned
from tests.charts.every_kind import SHARE, charts


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

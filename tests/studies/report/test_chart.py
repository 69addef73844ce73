"""Figures as data and in words."""

import pytest

from bntt.studies.report.chart import MOST_POINTS, Bars, Chart, Line, in_words, line, over_steps, said, thinned


def test_layers_take_colours_in_order_and_what_is_compared_others():
    rows = {f"conv{i}": [0.1, 0.2] for i in range(12)}
    assert [one.colour for one in over_steps(rows)] == [*range(10), 0, 1]
    assert [one.colour for one in over_steps(rows, layers=False)][:3] == [0, 6, 3]
    assert over_steps(rows)[0].x == (1.0, 2.0)


def test_long_lines_are_thinned_to_their_ends():
    long = line("a", list(range(1000)), [float(i) for i in range(1000)])
    assert (len(long.x), long.x[0], long.x[-1]) == (MOST_POINTS, 0.0, 999.0)
    assert thinned(3, 3) == [0, 1, 2]
    with pytest.raises(ValueError, match="2 places for 1 values"):
        line("a", [1, 2], [0.5])


def test_words_say_where_lines_begin_end_and_are_highest():
    rising = line("test", [1, 2, 3], [0.1, 0.6, 0.5])
    words = in_words(Chart("t", "time step", "accuracy", (rising,), percent=True, level=0.3, level_name="chance"))
    assert words == (
        "Line chart of accuracy against time step. test: from 10.0% at 1 to 50.0% at 3, highest 60.0% at 2. "
        "A dashed line marks chance."
    )
    one = Line("a", (1.0, 2.0), (None, 4.0), crossed=(1,))
    assert "a: 4 at 2." in in_words(Chart("t", "x", "y", (one, Line("b", (1.0,), (None,)))))
    assert "b: no values." in in_words(Chart("t", "x", "y", (Line("b", (1.0,), (None,)),)))


def test_words_of_bars():
    chart = Chart("t", "", "spikes", names=("conv1", "fc1"), bars=(Bars("ours", (1200.0, None)),))
    assert in_words(chart) == "Bar chart of spikes. ours: conv1 1,200, fc1 –."


def test_many_lines_are_counted():
    many = over_steps({str(i): [1.0, 2.0] for i in range(15)})
    assert in_words(Chart("t", "x", "y", many)).endswith("And 3 more lines.")


def test_emptiness():
    assert Chart("t", "x", "y").empty
    assert Chart("t", "x", "y", (line("a", [1], [None]),)).empty
    assert not Chart("t", "x", "y", names=("a",), bars=(Bars("b", (0.0,)),)).empty


def test_numbers_as_they_are_said():
    assert [said(v) for v in (0.12345, 12345.6, 0.0)] == ["0.123", "12,346", "0"]

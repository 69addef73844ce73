"""The numbers of figures."""

from bntt.studies.report.chart import Bars, Chart, Line, line, over_steps
from bntt.studies.report.figure_table import MOST, table_of


def test_a_row_for_each_place():
    table = table_of(Chart("t", "time step", "y", over_steps({"a": [0.1, 0.2], "b": [0.3, 0.4, 0.5]}), percent=True))
    assert table.columns == ("time step", "a", "b")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["1", "10.0%", "30.0%"], ["2", "20.0%", "40.0%"], ["3", "–", "50.0%"]
    ]  # fmt: skip


def test_of_many_rows_some_are_shown_and_it_says_so():
    table = table_of(Chart("t", "x", "y", (line("a", list(range(300)), [1.0] * 300),)))
    assert len(table.rows) == MOST
    assert table.note == "100 of 300 rows, evenly chosen."


def test_rows_that_are_worth_nothing_say_so():
    table = table_of(Chart("t", "ε", "y", (Line("a", (1.0, 2.0), (0.5, 0.25), crossed=(1,)),)))
    assert [row[1].text for row in table.rows] == ["0.5", "0.25 INVALID"]


def test_bars_by_name():
    table = table_of(Chart("t", "", "y", names=("conv1",), bars=(Bars("a", (5000.0,)), Bars("b", (None,)))))
    assert [cell.text for cell in table.rows[0]] == ["conv1", "5,000", "–"]

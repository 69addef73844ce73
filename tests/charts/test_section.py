"""Cells of tables."""

from bntt.charts.section import count, duration, gap, interval, number, plural, share


def test_what_is_not_there_is_a_dash_or_says_so():
    assert {cell.text for cell in (share(None), count(None), number(None), interval(None, 0.5))} == {"–"}
    assert gap("not run").mark == "gap"


def test_numbers_are_short_and_sortable():
    assert (share(0.12345, 2).text, share(0.5).value) == ("12.35%", 0.5)
    assert (count(3.0).text, count(1234.5).text) == ("3", "1,234")
    assert interval(0.1, 0.25).text == "10.0% to 25.0%"
    assert (plural(1000, "image"), duration(90)) == ("1,000 images", "90 s")

"""Numbers in words."""

from bntt.charts.section import count, duration, gap, interval, number, plural, share


def test_what_is_not_there_is_a_dash_or_says_so():
    assert {cell.text for cell in (share(None), count(None), number(None), interval(None, 0.5))} == {"–"}
    assert all(cell.value is None for cell in (share(None), count(None), number(None)))
    assert gap("not run").mark == "gap"


def test_numbers_are_short_and_sortable():
    assert (share(0.12345, 2).text, share(0.5455).text, share(0.5455).value) == ("12.35%", "54.5%", 0.5455)
    assert [count(value).text for value in (3.0, 1234.5, 0.4217, 8)] == ["3", "1,234", "0.422", "8"]
    assert [number(value).text for value in (0.07, 100.0)] == ["0.0700", "100"]
    assert interval(0.1, 0.25).text == "10.0% to 25.0%"
    assert [plural(value, "image") for value in (1, 10_000)] == ["1 image", "10,000 images"]
    assert [duration(value) for value in (3.2, 90, 600.0, 86400.0)] == ["3 s", "90 s", "10 min", "24.0 h"]

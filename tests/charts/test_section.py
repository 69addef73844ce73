"""Numbers in words."""

from bntt.charts.section import count, duration, gap, interval, number, plural, share


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

"""Charts as records."""

from bntt.charts.records import STEPS, Axis, Entry, Forest, HeatMap, Lines, over_steps, values_of


def test_lines_over_steps_count_from_one():
    (line,) = over_steps({"conv1": [0.5, None]})
    assert (list(line.x), line.y, line.colour) == ([1, 2], [0.5, None], "")
    assert over_steps({"bntt": [1.0]}, methods=True)[0].colour == "bntt"


def test_what_shows_nothing_is_empty():
    share = Axis("share", percent=True)
    for chart in (
        Lines("", STEPS, share, over_steps({"x": [None]})),
        Forest("", share, [Entry("a", None)]),
        HeatMap("", STEPS, ["a"], ["1"], [[None]], share),
    ):
        assert not values_of(chart)
    assert values_of(Forest("", share, [Entry("a", 0.0)])) == [0.0]

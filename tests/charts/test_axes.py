"""From where to where axes go."""

import math

import pytest

from bntt.charts.files import (
    draw_figure,
    is_logarithmic,
    limits,
    on_shared_scales,
    places_along,
    values_along,
)
from bntt.charts.records import STEPS, Axis, Bar, Bars, Figure, HeatMap, Image, Level, Line, Lines, finite
from tests.charts.every_kind import charts


def test_nothing_is_beyond_what_is_possible():
    share = Axis("share", percent=True, low=0, high=1)
    assert limits(share, [0.2, 0.99]) == (0, 1)
    assert limits(share, [-0.1, 1.2]) == (0, 1)
    assert limits(Axis("share", percent=True), [0.99]) == (0, 1)
    assert limits(Axis("share", percent=True), [1.2])[1] > 1.2
    assert limits(Axis("near the top", low=0.8), [0.9]) == (0.8, pytest.approx(0.945))
    assert limits(Axis("ε", low=0), [0.0, 8.0], values=False) == (0, pytest.approx(8.4))


def test_values_have_zero_and_room():
    assert limits(Axis("loss"), [1.0, 2.0]) == (0, pytest.approx(2.1))
    assert limits(Axis("change"), [-1.0]) == (pytest.approx(-1.05), 0)
    assert limits(Axis("nothing"), []) == (0, 1)


def test_logarithmic_axes_leave_zero_out():
    axis = Axis("spikes", scale="log", low=0)
    assert limits(axis, [0.0, 3.0, 30.0]) == (2, 45)
    assert limits(axis, [0.0, 1.5], values=False) == (1.0, 2.25)
    assert not is_logarithmic(axis, [0.0])
    assert not is_logarithmic(axis, [5e-324]), "its logarithm's ends would be one number"


def test_counts_have_half_a_step_around_them():
    assert limits(STEPS, [1, 8], values=False) == (0.5, 8.5)
    assert limits(STEPS, [4], values=False) == (3.5, 4.5)


def test_all_that_is_drawn_has_room():
    line = Line("a", [1, 2], [1.0, math.nan], low=[-3.0, None], high=[5.0, math.inf])
    chart = Lines("", STEPS, Axis("y"), [line], [Level(9.0), Level(7, at="x")])
    assert sorted(values_along(chart)) == [-3, 1, 5, 9]
    assert places_along(chart) == [1, 2, 7]
    bars = [Bar("a", [1.0, 2.0]), Bar("b", [3.0, None])]
    assert values_along(Bars("", Axis("y"), ["x", "y"], bars, stacked=True)) == [4, 2]
    assert max(values_along(Bars("", Axis("y"), ["x"], [Bar("a", [1.0], high=[2.0], points=[[4.0]])]))) == 4
    assert [max(values_along(chart)) for chart in charts()[2:5:2]] == [30, 3]
    assert finite([None, math.nan, math.inf, 1]) == [1.0]


def test_panels_of_one_measure_share_a_scale():
    loss, rate = Axis("loss"), Axis("rate", percent=True)
    panels = [
        Lines("", STEPS, axis, [Line("a", [1], [value])]) for axis, value in ((loss, 1.0), (rate, 0.5), (loss, 3.0))
    ]
    shared = on_shared_scales(panels)
    assert [limits(one.y, values_along(one)) for one in shared] == [(0, 3.15), (0, 0.525), (0, 3.15)]
    maps = [HeatMap("", STEPS, ["a"], ["1"], [[value]], loss) for value in (1.0, 9.0)]
    shown = [image.get_clim() for axes in draw_figure(Figure("", maps)).axes for image in axes.images]
    assert shown == [(1, 9), (1, 9)]
    norms = Axis("norm", scale="log")
    panels = [Lines("", STEPS, norms, [Line("a", [1, 2], values)]) for values in ([1e-6, 0.0], [1e-3, 1.0])]
    assert {limits(one.y, values_along(one)) for one in on_shared_scales(panels)} == {(1e-6 / 1.5, 1.5)}
    assert on_shared_scales([Image("", [])] * 2) == [Image("", [])] * 2

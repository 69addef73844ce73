"""Ticks are round, and every value has a place within the chart."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bntt.charts.records import STEPS, Axis
from bntt.charts.svg_axes import ruler, ticks_of

AXES = st.builds(Axis, st.just(""), st.booleans(), st.booleans(), st.sampled_from(["linear", "log"]))


@given(st.lists(st.floats(-1e99, 1e99), max_size=5), AXES, st.booleans())
def test_any_values_have_an_axis(values, axis, places):
    found = ruler(axis, values, 200.0, 20.0, places=places)
    assert found.high > found.low
    assert len(found.ticks) == len(found.labels)
    beyond = 0.01 * (found.high - found.low)
    assert all(found.low - beyond <= tick <= found.high + beyond for tick in found.ticks)
    assert all(20 <= found.at(v) <= 200 and math.isfinite(found.at(v)) for v in values)


def test_values_begin_at_zero_and_shares_end_at_one():
    axis = ruler(Axis("", percent=True), [0.2, 0.99], 100.0, 0.0)
    assert (axis.low, axis.high, axis.labels[0], axis.labels[-1]) == (0.0, 1.0, "0%", "100%")
    assert axis.at(0.25) == 75.0
    assert axis.at(7.0) == 0.0


def test_powers_of_ten():
    axis = ruler(Axis("", scale="log"), [0.3, 3e-4], 100.0, 0.0)
    assert axis.labels == ("0.001", "0.01", "0.1")
    assert axis.at(math.sqrt(0.3 * 3e-4)) == pytest.approx(50.0)
    assert ruler(Axis("", scale="log"), [20.0, 70.0], 0.0, 1.0).labels == ("20", "50", "100")


def test_counting_axes_count_from_one():
    assert ruler(STEPS, [1, 8], 0.0, 1.0, places=True, most=8).ticks == tuple(map(float, range(1, 9)))
    assert ruler(STEPS, [1, 3], 0.0, 1.0, places=True).labels == ("1", "2", "3")
    assert ruler(STEPS, [1, 1000], 0.0, 1.0, places=True).labels[:2] == ("1", "200")
    assert ruler(STEPS, [4.0], 0.0, 10.0, places=True).at(4.0) == 5.0


def test_large_numbers_are_short():
    assert ruler(Axis(""), [2.4e6], 0.0, 1.0).labels[:3] == ("0", "0.5M", "1M")
    assert ticks_of(0.0, 50.0) == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]

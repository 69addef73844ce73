"""Ticks are round, and every value has a place within the figure."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bntt.studies.report.axes import from_places, from_values, ticks_of

NUMBERS = st.floats(-1e99, 1e99)


@given(st.lists(NUMBERS, max_size=5), st.booleans(), st.booleans())
def test_any_values_have_an_axis(values, percent, logarithmic):
    axis = from_values(values, 200.0, 20.0, percent=percent, logarithmic=logarithmic)
    assert axis.high > axis.low
    assert len(axis.ticks) == len(axis.labels)
    assert all(20 <= axis.at(v) <= 200 for v in values if v > 0 or not axis.logarithmic)


@given(st.lists(NUMBERS, max_size=5), st.booleans())
def test_any_places_have_an_axis(places, whole):
    axis = from_places(places, 40.0, 400.0, whole=whole)
    assert all(40 <= axis.at(v) <= 400 and math.isfinite(axis.at(v)) for v in places)


def test_values_begin_at_zero_and_shares_end_at_one():
    axis = from_values([0.2, 0.99], 100.0, 0.0, percent=True)
    assert (axis.low, axis.high, axis.labels[0], axis.labels[-1]) == (0.0, 1.0, "0%", "100%")
    assert axis.at(0.25) == 75.0
    assert from_values([-2.0, 2.0], 100.0, 0.0).low < -2


def test_powers_of_ten():
    axis = from_values([0.3, 3e-4], 100.0, 0.0, logarithmic=True)
    assert axis.labels == ("0.0001", "0.001", "0.01", "0.1", "1")
    assert axis.at(0.01) == pytest.approx(50.0)


def test_counting_axes_count():
    assert from_places([1, 8], 0.0, 1.0).ticks == tuple(map(float, range(1, 9)))
    assert from_places([1, 3], 0.0, 1.0).labels == ("1", "2", "3")
    assert from_places([1, 1000], 0.0, 1.0).labels[0] == "1"
    assert from_places([4.0], 0.0, 10.0).at(4.0) == 5.0


def test_large_numbers_are_short():
    assert from_values([2.4e6], 0.0, 1.0).labels[:3] == ("0", "0.5M", "1M")
    assert ticks_of(0.0, 50.0) == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]

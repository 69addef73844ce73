"""What starts can decide: by hand, by tables, and by trials."""

import random
from math import sqrt
from statistics import mean, stdev

import pytest

from bntt.analysis.accuracy.accuracy import student_quantile
from bntt.studies.claims.power import above, holm, smallest_difference, smallest_margin


def test_the_smallest_difference_by_a_table_of_student():
    """t with five degrees: 2.5706 for 95 % on both sides, 0.9195 for 80 %; √6 starts."""
    assert smallest_difference(0.8 * sqrt(2), 6) == pytest.approx((2.5706 + 0.9195) * 0.8 * sqrt(2) / sqrt(6), abs=1e-3)
    assert smallest_difference(1.0, 3, 0.05 / 20) > 10, "three starts among twenty tests decide next to nothing"


def test_four_of_five_trials_find_it():
    """Approximate, as the t of the power is not the noncentral one: 75 to 85 %."""
    draw, bound, found = random.Random(3), smallest_difference(1.0, 6), 0
    for _ in range(4000):
        values = [draw.gauss(bound, 1.0) for _ in range(6)]
        found += mean(values) - student_quantile(0.975, 5) * stdev(values) / sqrt(6) > 0
    assert 0.75 < found / 4000 < 0.85


def test_four_of_five_trials_of_equals_lie_within_the_margin():
    draw, margin, found = random.Random(4), smallest_margin(1.0, 6), 0
    for _ in range(4000):
        values = [draw.gauss(0.0, 1.0) for _ in range(6)]
        sides = (above(side * mean(values), stdev(values), 6, -margin) for side in (1, -1))
        found += max(sides) <= 0.05
    assert 0.75 < found / 4000 < 0.87


def test_a_mean_above_a_bound_by_a_table():
    """t = (2.5706 / √6) √6 with five degrees is 2.5 % above."""
    assert above(1 + 2.5706 / sqrt(6), 1.0, 6, 1.0) == pytest.approx(0.025, abs=1e-5)


def test_holm_stops_at_the_first_that_is_not_decided():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True], "0.0125, 0.0167, then 0.03 > 0.025"
    assert holm([0.01, 0.011, 0.03, 0.04]) == [True, True, False, False], "0.04 <= 0.05, but behind one that is not"
    assert holm([0.03, 0.001, 0.02]) == [True] * 3, "0.0167, 0.025, 0.05: each level is of the tests that are left"
    assert holm([]) == []

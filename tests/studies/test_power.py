"""What starts can decide: by hand, by tables, and by trials."""

import random
from math import sqrt
from statistics import mean, stdev

import pytest
from scipy import stats

from bntt.studies.claims import above, holm, smallest_difference, smallest_margin
from tests.rows import each_row


@each_row("starts", [2, 3, 6, 10])
@each_row("tests", [1, 19])
def test_four_of_five_studies_find_it_by_the_noncentral_t(starts, tests):
    """Of 6 starts among 19 tests, t_{1-α/2} + t_{0.8} errors would be found in 73 % alone."""
    level = 0.05 / tests
    errors = smallest_difference(1.0, starts, level) * sqrt(starts)
    found = stats.nct.sf(stats.t.ppf(1 - level / 2, starts - 1), starts - 1, errors)
    assert found == pytest.approx(0.8, abs=1e-4)
    assert smallest_difference(1.0, 3, 0.05 / 20) > 10, "three starts among twenty tests decide next to nothing"


def test_four_of_five_trials_of_equals_lie_within_the_margin():
    draw, margin, found = random.Random(4), smallest_margin(1.0, 6), 0
    for _ in range(4000):
        values = [draw.gauss(0.0, 1.0) for _ in range(6)]
        sides = (above(side * mean(values), stdev(values), 6, -margin) for side in (1, -1))
        found += max(sides) <= 0.05
    assert 0.78 < found / 4000 < 0.82


def test_a_mean_above_a_bound_by_a_table():
    """t = (2.5706 / √6) √6 with five degrees is 2.5 % above."""
    assert above(1 + 2.5706 / sqrt(6), 1.0, 6, 1.0) == pytest.approx(0.025, abs=1e-5)


def test_holm_stops_at_the_first_that_is_not_decided():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True], "0.0125, 0.0167, then 0.03 > 0.025"
    assert holm([0.01, 0.011, 0.03, 0.04]) == [True, True, False, False], "0.04 <= 0.05, but behind one that is not"
    assert holm([0.03, 0.001, 0.02]) == [True] * 3, "0.0167, 0.025, 0.05: each level is of the tests that are left"
    assert holm([]) == []


def test_a_difference_far_from_found_is_found_by_many_starts():
    """SciPy gives no value for differences far beyond the one that is sought."""
    for starts in range(2, 40):
        errors = [smallest_difference(1.0, starts, 0.05 / tests) * sqrt(starts) for tests in (1, 5, 20, 60)]
        assert errors == sorted(errors)

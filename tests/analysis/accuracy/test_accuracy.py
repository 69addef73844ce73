"""Accuracy, its spread and intervals, and statistics of several starts: by hand, against tables and SciPy."""

import pytest
from scipy import stats

from bntt.analysis import Accuracy
from bntt.analysis.accuracy import Difference, Summary, paired_difference, wilson


def test_accuracy_by_hand():
    a = Accuracy(100, ((10, 50), (20, 60), (30, 70)))
    assert a.per_draw == (0.5, 0.6, 0.7)
    assert a.mean == pytest.approx(0.6)
    assert a.spread == pytest.approx(0.1)
    assert a.over_time == pytest.approx((0.2, 0.6))
    assert Accuracy(10, ((3,),)).spread is None


def test_wilson_against_published_values():
    for share, count, expected in (
        (0.905, 10_000, (0.8991, 0.9106)),
        (0.905, 1000, (0.8852, 0.9217)),
        (0.0, 10, (0.0, 0.2775)),
        (1.0, 10, (0.7225, 1)),
    ):
        assert wilson(share, count) == pytest.approx(expected, abs=1e-4), (share, count)


def test_mean_deviation_and_interval_by_hand():
    """sd of 2, 4, 9 is sqrt(13); t(0.975, 2) = 4.302653; one start has neither."""
    found, half = Summary((2.0, 4.0, 9.0)), 4.302653 * (13 / 3) ** 0.5
    assert (found.n, found.mean, found.sd) == (3, 5.0, pytest.approx(13**0.5))
    assert found.interval == pytest.approx((5 - half, 5 + half), abs=1e-5)
    assert (Summary((7.0,)).mean, Summary((7.0,)).sd, Summary((7.0,)).interval) == (7.0, None, None)


def test_differences_are_paired_by_shared_seeds_and_their_interval_is_scipys():
    one, other = {0: 80.3, 1: 81.2, 2: 80.6, 3: 82.7, 9: 1.0}, {3: 80.6, 2: 80.0, 1: 80.3, 0: 80.9, 8: 5.0}
    found = paired_difference(one, other)
    assert found.values == pytest.approx((-0.6, 0.9, 0.6, 2.1))
    expected = stats.ttest_rel([one[n] for n in range(4)], [other[n] for n in range(4)]).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_superiority_counts_ties_by_half():
    assert Difference((1.0, -1.0, 0.0, 2.0)).superiority == 2.5 / 4


def test_a_mean_needs_finite_numbers_of_shared_starts():
    for values in ((), (1.0, float("nan")), (1.0, float("inf")), (1.0, float("-inf"))):
        with pytest.raises(ValueError, match="finite"):
            Summary(values)
    with pytest.raises(ValueError, match="seed"):
        paired_difference({0: 1.0}, {1: 1.0})

"""Accuracy, its spread and intervals, and statistics of several starts: by hand, against tables and SciPy."""

import pytest
from scipy import stats

from bntt.analysis import Accuracy
from bntt.analysis.accuracy import (
    Difference,
    Summary,
    paired_difference,
    wilson,
)


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
    """sd of 2, 4, 9 is sqrt(13); t(0.975, 2) = 4.302653."""
    found = Summary((2.0, 4.0, 9.0))
    assert (found.n, found.mean) == (3, 5.0)
    assert found.sd == pytest.approx(13**0.5)
    half = 4.302653 * (13 / 3) ** 0.5
    assert found.interval == pytest.approx((5 - half, 5 + half), abs=1e-5)


def test_one_start_has_no_spread_and_none_no_mean():
    found = Summary((7.0,))
    assert (found.mean, found.sd, found.interval) == (7.0, None, None)
    with pytest.raises(ValueError, match="no start"):
        Summary(())


def test_the_paired_interval_is_scipys():
    one, other = ([80 + 3 * float(x) for x in values] for values in ([0.1, 0.4, 0.2, 0.9], [0.3, 0.1, 0.0, 0.2]))
    found = paired_difference(dict(enumerate(one)), dict(enumerate(other)))
    expected = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_only_shared_seeds_count_and_the_sign_is_the_firsts():
    found = paired_difference({0: 5.0, 1: 7.0, 2: 1.0}, {1: 4.0, 2: 3.0, 3: 9.0})
    assert found.values == (3.0, -2.0)
    assert found.mean == 0.5
    with pytest.raises(ValueError, match="no seed is shared"):
        paired_difference({0: 1.0}, {1: 1.0})


def test_superiority_counts_ties_by_half():
    assert Difference((1.0, -1.0, 0.0, 2.0)).superiority == 2.5 / 4
    low, high = Difference((1.0, 1.0, 1.0)).superiority_interval
    assert (round(low, 3), round(high, 3)) == (0.439, 1.0)  # Wilson of 3 of 3


def test_what_is_not_finite_is_refused():
    for wrong in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="a mean needs finite numbers"):
            Summary((1.0, wrong))
        with pytest.raises(ValueError, match="a mean needs finite numbers"):
            paired_difference({0: 1.0, 1: wrong}, {0: 1.0, 1: 2.0})

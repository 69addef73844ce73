"""Accuracy, spread and interval against hand-computed cases."""

import pytest

from bntt.analysis import Accuracy
from bntt.analysis.accuracy.accuracy import wilson


def test_by_hand():
    a = Accuracy(100, ((10, 50), (20, 60), (30, 70)))
    assert a.per_draw == (0.5, 0.6, 0.7)
    assert a.mean == pytest.approx(0.6)
    assert a.spread == pytest.approx(0.1)
    assert a.over_time == pytest.approx((0.2, 0.6))


def test_the_spread_of_one_draw_is_not_known():
    assert Accuracy(10, ((3,),)).spread is None


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [
        (0.905, 10_000, (0.8991, 0.9106)),
        (0.905, 1000, (0.8852, 0.9217)),
        (0.0, 10, (0.0, 0.2775)),
        (1.0, 10, (0.7225, 1)),
    ],
)
def test_wilson_against_published_values(share, count, expected):
    assert wilson(share, count) == pytest.approx(expected, abs=1e-4)

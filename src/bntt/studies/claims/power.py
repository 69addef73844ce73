"""What a number of starts can decide: the smallest difference that is found in four of five studies, and Holm's rule.

Differences are Student's, pair by pair: with n starts, a standard deviation s of one start's number and independent
runs, a mean difference has the standard error ``e = s √2 / √n``, and a test of level α finds
``(t_{1-α/2} + t_{0.8}) e`` in 80 % of studies (t with n - 1 degrees; the usual approximation of the noncentral t).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from bntt.analysis.accuracy.accuracy import student_cdf, student_quantile

LEVEL = 0.05
"""Level of all tests."""
POWER = 0.8
"""Share of studies in which the difference is found."""


def smallest_difference(error: float, starts: int, level: float = LEVEL) -> float:
    """Return the difference that a two-sided test finds in four of five studies.

    Args:
        error: standard deviation over starts of what is averaged.
        starts: number of starts, 2 or more.

    >>> round(smallest_difference(1.0, 6), 3)
    1.425
    """
    return (student_quantile(1 - level / 2, starts - 1) + student_quantile(POWER, starts - 1)) * error / sqrt(starts)


def smallest_margin(error: float, starts: int, level: float = LEVEL) -> float:
    """Return the margin within which two one-sided tests find two equal runs equivalent in four of five studies.

    >>> round(smallest_margin(1.0, 6), 3)
    1.425
    """
    both = 1 - (1 - POWER) / 2
    return (student_quantile(1 - level, starts - 1) + student_quantile(both, starts - 1)) * error / sqrt(starts)


def above(mean: float, error: float | None, starts: int, bound: float = 0.0) -> float:
    """Return the one-sided probability of a mean so far above a bound, were the bound the truth.

    Args:
        error: standard deviation over starts; 0 where all agree.

    >>> round(above(1.0, 1.0, 4), 4), above(1.0, 0.0, 4), above(-1.0, 0.0, 4)
    (0.0697, 0.0, 1.0)
    """
    if not error:
        return 0.0 if mean > bound else 1.0
    return 1 - student_cdf((mean - bound) * sqrt(starts) / error, starts - 1)


def holm(values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Say which of several tests are decided together (Holm 1979): the k-th smallest of m at level / (m - k + 1), until
    one is not.

    >>> holm([0.03, 0.001, 0.02]), holm([0.03, 0.001, 0.024]), holm([0.2, 0.02, 0.03])
    ([True, True, True], [True, True, True], [False, False, False])
    """
    decided, open_ = [False] * len(values), True
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        open_ = open_ and values[place] <= level / (len(values) - rank)
        decided[place] = open_
    return decided

"""What a number of starts can decide: the smallest difference that is found in four of five studies, and Holm's rule.

Differences are tested by Student's t, pair by pair: with n starts, a standard deviation s of one start's number and
independent runs, a mean difference has the standard error ``e = s √2 / √n``. A test of level α finds a difference of
d e if the noncentral t of n - 1 degrees about d exceeds ``t_{1-α/2}``: a share ``E[Φ(d - t_{1-α/2} S)]`` of studies,
with S the measured over the true deviation, ``√(χ² / (n - 1))``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from math import erfc, exp, lgamma, log, sqrt

from bntt.analysis.accuracy.accuracy import student_cdf, student_quantile

LEVEL = 0.05
"""Level of all tests."""
POWER = 0.8
"""Share of studies in which the difference is found."""
CELLS = 1000
"""Cells of the integral over the measured deviation."""


def smallest_difference(error: float, starts: int, level: float = LEVEL) -> float:
    """Return the difference that a two-sided test finds in four of five studies.

    Args:
        error: standard deviation over starts of what is averaged.
        starts: number of starts, 2 or more.

    >>> round(smallest_difference(1.0, 6), 3)
    1.435
    """
    return _errors(starts, 1 - level / 2, 1) * error / sqrt(starts)


def smallest_margin(error: float, starts: int, level: float = LEVEL) -> float:
    """Return the margin within which two one-sided tests find two equal runs equivalent in four of five studies.

    >>> round(smallest_margin(1.0, 6), 3)
    1.397
    """
    return _errors(starts, 1 - level, 2) * error / sqrt(starts)


@cache
def _errors(starts: int, share: float, sides: int) -> float:
    """Return the difference, in standard errors, that :data:`POWER` of studies would decide.

    With one side it lies further than the quantile of t beyond a bound, with two sides so far inside both bounds.
    """
    quantile, low, high = student_quantile(share, starts - 1), 0.0, 1.0
    while _found(high, quantile, starts - 1, sides) < POWER:
        low, high = high, 2 * high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _found(middle, quantile, starts - 1, sides) < POWER else (low, middle)
    return (low + high) / 2


def _found(errors: float, quantile: float, degrees: int, sides: int) -> float:
    """Return the share of studies that find a difference of ``errors`` standard errors, by the midpoint rule."""
    return sum(
        weight * max(0.0, 1 - sides * erfc((errors - quantile * ratio) / sqrt(2)) / 2)
        for ratio, weight in _deviations(degrees)
    )


@cache
def _deviations(degrees: int) -> tuple[tuple[float, float], ...]:
    """Return measured deviations, over the true one, with their probabilities."""
    width = (1 + 8 / sqrt(degrees)) / CELLS
    constant = log(2) + degrees / 2 * log(degrees / 2) - lgamma(degrees / 2)

    def cells() -> Iterator[tuple[float, float]]:
        for number in range(CELLS):
            ratio = (number + 0.5) * width
            yield ratio, width * exp(constant + (degrees - 1) * log(ratio) - degrees * ratio * ratio / 2)

    return tuple(cells())


def above(mean: float, error: float | None, starts: int, bound: float = 0.0) -> float:
    """Return the one-sided probability of a mean at least so far above a bound if the bound were true.

    Args:
        error: standard deviation over starts; 0 where all agree.

    >>> round(above(1.0, 1.0, 4), 4), above(1.0, 0.0, 4), above(-1.0, 0.0, 4)
    (0.0697, 0.0, 1.0)
    """
    if not error:
        return 0.0 if mean > bound else 1.0
    return 1 - student_cdf((mean - bound) * sqrt(starts) / error, starts - 1)


def holm(values: Sequence[float]) -> list[bool]:
    """Say which of several tests are decided together (Holm 1979).

    The k-th smallest of m is tested at LEVEL / (m - k + 1), until one is not decided.

    >>> holm([0.03, 0.001, 0.02]), holm([0.03, 0.001, 0.024]), holm([0.2, 0.02, 0.03])
    ([True, True, True], [True, True, True], [False, False, False])
    """
    decided, open_ = [False] * len(values), True
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        open_ = open_ and values[place] <= LEVEL / (len(values) - rank)
        decided[place] = open_
    return decided

"""What a number of starts can decide: the smallest difference that is found in four of five studies, and Holm's rule.

Differences are tested by Student's t, pair by pair: with n starts, a standard deviation s of one start's number and
independent runs, a mean difference has the standard error ``e = s √2 / √n``. A test of level α finds a difference of
d e if the noncentral t of n - 1 degrees about d exceeds ``t_{1-α/2}``: a share ``E[Φ(d - t_{1-α/2} S)]`` of studies,
with S the measured over the true deviation, ``√(χ² / (n - 1))``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import sqrt

from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import nctdtr, ndtr, stdtr, stdtrit
from scipy.stats import chi

LEVEL = 0.05
"""Level of all tests."""
POWER = 0.8
"""Share of studies in which the difference is found."""


def smallest_difference(error: float, starts: int, level: float = LEVEL) -> float:
    """Return the difference that a two-sided test finds in four of five studies."""
    return _errors(starts, 1 - level / 2, 1) * error / sqrt(starts)


def smallest_margin(error: float, starts: int, level: float = LEVEL) -> float:
    """Return the margin within which two one-sided tests find two equal runs equivalent in four of five studies."""
    return _errors(starts, 1 - level, 2) * error / sqrt(starts)


@cache
def _errors(starts: int, share: float, sides: int) -> float:
    """Return the difference, in standard errors, that :data:`POWER` of studies would decide."""
    degrees = starts - 1
    quantile = stdtrit(degrees, share)

    def lacks(errors: float) -> float:
        if sides == 1:
            return POWER - 1 + float(nctdtr(degrees, errors, quantile))
        inside = errors / quantile * sqrt(degrees)  # beyond it, both tests cannot be decided
        found = quad(lambda s: chi.pdf(s, degrees) * (2 * ndtr(errors - quantile * s / sqrt(degrees)) - 1), 0, inside)
        return POWER - float(found[0])

    return float(brentq(lacks, 0.0, 1000.0))


def above(mean: float, error: float | None, starts: int, bound: float = 0.0) -> float:
    """Return the one-sided probability of a mean at least so far above a bound if the bound were true."""
    if not error:
        return 0.0 if mean > bound else 1.0
    return 1 - float(stdtr(starts - 1, (mean - bound) * sqrt(starts) / error))


def holm(values: Sequence[float]) -> list[bool]:
    """Say which of several tests are decided together (Holm 1979)."""
    decided, open_ = [False] * len(values), True
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        open_ = open_ and values[place] <= LEVEL / (len(values) - rank)
        decided[place] = open_
    return decided

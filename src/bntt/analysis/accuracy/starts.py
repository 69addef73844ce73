"""Several starts of a training: mean and deviation, and how two trainings differ over the starts that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import atan2, copysign, cos, isfinite, pi, sin, sqrt
from statistics import mean, stdev

from bntt.analysis.accuracy.accuracy import wilson

FEW = 5
"""Fewer starts than this are preliminary."""


@dataclass(frozen=True)
class Summary:
    """Numbers of several starts."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Starts."""
        return len(self.values)

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def sd(self) -> float | None:
        """Standard deviation over the starts (n - 1); None of one."""
        return stdev(self.values) if self.n > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean: what other starts could have given. None of one start."""
        return _interval(self.values)


@dataclass(frozen=True)
class Difference:
    """One training minus another, start by start with the same seed."""

    each: tuple[float, ...]

    @property
    def n(self) -> int:
        """Starts that both have."""
        return len(self.each)

    @property
    def mean(self) -> float:
        return mean(self.each)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean difference; None of fewer than two starts."""
        return _interval(self.each)

    @property
    def superiority(self) -> float:
        """P(one > other), the share of starts in which the one is above, ties by half (Bouthillier et al. 2021)."""
        return sum(0.5 if value == 0 else float(value > 0) for value in self.each) / self.n

    @property
    def superiority_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of that share."""
        return wilson(self.superiority, self.n)


def summary(values: Sequence[float]) -> Summary:
    """Mean, deviation and interval of some starts.

    Raises:
        ValueError: if there is none, or one is not finite.

    >>> found = summary([1.0, 2.0, 3.0])
    >>> found.mean, found.sd, [round(bound, 3) for bound in found.interval]
    (2.0, 1.0, [-0.484, 4.484])
    """
    if not values:
        raise ValueError("no start: there is no mean of nothing")
    return Summary(_finite(values))


def paired_difference(one: Mapping[int, float], other: Mapping[int, float]) -> Difference:
    """The one minus the other in every start that both have, by seed.

    Raises:
        ValueError: if they share no seed, or a difference is not finite.

    >>> found = paired_difference({0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 2.0, 7: 9.0})
    >>> found.each, found.superiority
    ((2.0, 3.0), 1.0)
    """
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise ValueError("no seed is shared: differences are taken start by start")
    return Difference(_finite([one[seed] - other[seed] for seed in shared]))


def _finite(values: Sequence[float]) -> tuple[float, ...]:
    if wrong := [value for value in values if not isfinite(value)]:
        raise ValueError(f"{wrong[0]} of {len(values)} starts' numbers is not finite: it has no mean and no deviation")
    return tuple(values)


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    half = student_quantile(0.975, len(values) - 1) * stdev(values) / sqrt(len(values))
    return mean(values) - half, mean(values) + half


def student_cdf(t: float, degrees: int) -> float:
    """P(T ≤ t) for a whole number of degrees of freedom, by the closed sums of Abramowitz & Stegun 26.7.3 and 26.7.4.

    Raises:
        ValueError: if there is not one degree of freedom.

    >>> round(student_cdf(4.302653, 2), 6)
    0.975
    """
    if degrees < 1:
        raise ValueError(f"degrees of freedom must be 1 or more, got {degrees}")
    angle = atan2(abs(t), sqrt(degrees))
    sine, cosine = sin(angle), cos(angle)
    if degrees % 2:
        share = angle
        if degrees > 1:
            share += sine * cosine * _series(cosine * cosine, range(2, degrees - 1, 2))
        share *= 2 / pi
    else:
        share = sine * _series(cosine * cosine, range(1, degrees - 1, 2))
    return 0.5 + copysign(share / 2, t)


def _series(square: float, numbers: range) -> float:
    """``1 + (n₁ / (n₁ + 1)) c² (1 + (n₂ / (n₂ + 1)) c² (...))``."""
    total = term = 1.0
    for number in numbers:
        term *= square * number / (number + 1)
        total += term
    return total


def student_quantile(share: float, degrees: int) -> float:
    """The t that a share of the distribution lies below, by bisection of :func:`student_cdf`.

    Raises:
        ValueError: if the share is not between 0 and 1, or there is not one degree of freedom.

    >>> round(student_quantile(0.975, 4), 4)
    2.7764
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    if share < 0.5:
        return -student_quantile(1 - share, degrees)
    low, high = 0.0, 1.0
    while student_cdf(high, degrees) < share:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, degrees) < share else (low, middle)
    return (low + high) / 2

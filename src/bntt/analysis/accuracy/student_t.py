"""Quantiles of Student's t, which intervals of a few starts need."""

from __future__ import annotations

import math


def student_cdf(t: float, degrees: int) -> float:
    """P(T ≤ t) for a whole number of degrees of freedom, by the closed sums of Abramowitz & Stegun 26.7.3 and 26.7.4.

    Raises:
        ValueError: if there is not one degree of freedom.

    >>> round(student_cdf(4.302653, 2), 6)
    0.975
    """
    if degrees < 1:
        raise ValueError(f"degrees of freedom must be 1 or more, got {degrees}")
    angle = math.atan2(abs(t), math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees % 2:
        share = angle
        if degrees > 1:
            share += sine * cosine * _series(cosine * cosine, range(2, degrees - 1, 2))
        share *= 2 / math.pi
    else:
        share = sine * _series(cosine * cosine, range(1, degrees - 1, 2))
    return 0.5 + math.copysign(share / 2, t)


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

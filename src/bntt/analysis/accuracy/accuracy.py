"""Accuracy of a stochastic classifier over noise draws and steps, and statistics of several starts, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import mean, stdev

from bntt.doors import OldName


@dataclass(frozen=True)
class Accuracy:
    """Correct answers for every draw of the encoder's noise and every step.

    >>> result = Accuracy(samples=200, correct=((100, 150), (110, 160)))
    >>> result.mean, round(result.spread, 4), result.over_time
    (0.775, 0.0354, (0.525, 0.775))
    """

    samples: int
    """Number of samples evaluated, each in every draw."""
    correct: tuple[tuple[int, ...], ...]
    """``correct[draw][t]``: number of correct answers if the network stops after step t."""
    images = OldName("images", "samples")

    @property
    def per_draw(self) -> tuple[float, ...]:
        """Accuracy after the last step, for each draw."""
        return tuple(draw[-1] / self.samples for draw in self.correct)

    @property
    def mean(self) -> float:
        """Accuracy after the last step, mean over the draws."""
        return mean(self.per_draw)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the draws (n - 1), not over the choice of samples; None for one draw."""
        return stdev(self.per_draw) if len(self.correct) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the mean for this number of samples: the uncertainty from the choice of samples."""
        return wilson(self.mean, self.samples)

    @property
    def columns(self) -> dict[str, float | None]:
        """Mean, interval and standard deviation, keyed by their column names in rows of results."""
        low, high = self.interval
        return {"accuracy": self.mean, "low_95": low, "high_95": high, "sd_over_draws": self.spread}

    @property
    def over_time(self) -> tuple[float, ...]:
        """Accuracy if the network stops after step t, mean over the draws."""
        steps = zip(*self.correct, strict=True)
        return tuple(mean(step) / self.samples for step in steps)


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the lower and upper end of Wilson's score interval of a share (Wilson 1927), also of a mean over draws.

    Args:
        share: the observed share, 0 to 1.
        count: the number of trials.
        z: the normal quantile for the interval's coverage, 95 % by default.

    >>> [round(bound, 3) for bound in wilson(0.905, 10_000)]
    [0.899, 0.911]
    >>> wilson(1.0, 60)[1]
    1.0
    """
    centre = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)  # rounding can overshoot 0 and 1


FEW = 5
"""Number of starts below which results are preliminary."""


@dataclass(frozen=True)
class Summary:
    """One number from each of several starts, with their mean, standard deviation and interval.

    Raises:
        ValueError: if there are no numbers, or one is not finite.

    >>> found = Summary((1.0, 2.0, 3.0))
    >>> found.mean, found.sd, [round(bound, 3) for bound in found.interval]
    (2.0, 1.0, [-0.484, 4.484])
    """

    values: tuple[float, ...]
    """One number for each start."""

    def __post_init__(self) -> None:
        if not self.values or not all(map(isfinite, self.values)):
            got = list(self.values) or "no start"
            raise ValueError(f"a mean needs finite numbers, one of each start, got {got}")

    @property
    def n(self) -> int:
        """Number of starts."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean over the starts."""
        return mean(self.values)

    @property
    def sd(self) -> float | None:
        """Standard deviation over the starts (n - 1); None for a single start."""
        return stdev(self.values) if self.n > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean: the uncertainty from the choice of seeds. None for one start."""
        if self.sd is None:
            return None
        from scipy.special import stdtrit  # here, since `bntt --help` needs none

        half = float(stdtrit(self.n - 1, 0.975)) * self.sd / sqrt(self.n)
        return self.mean - half, self.mean + half


class Difference(Summary):
    """Differences of two trainings, paired by seed; returned by :func:`paired_difference`."""

    @property
    def superiority(self) -> float:
        """P(one > other): share of starts in which ``one`` is above; ties count half (Bouthillier et al. 2021)."""
        return sum(0.5 if value == 0 else float(value > 0) for value in self.values) / self.n

    @property
    def superiority_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of that share."""
        return wilson(self.superiority, self.n)


def paired_difference(one: Mapping[int, float], other: Mapping[int, float]) -> Difference:
    """Return the numbers of one training minus those of another, paired by seed, in the order of the seeds.

    Args:
        one, other: a number for each seed; seeds that only one training has are left out.

    Raises:
        ValueError: if the two share no seed, or a difference is not finite.

    >>> found = paired_difference({0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 2.0, 7: 9.0})
    >>> found.values, found.superiority
    ((2.0, 3.0), 1.0)
    """
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise ValueError("no seed is shared: differences are taken start by start")
    return Difference(tuple(one[seed] - other[seed] for seed in shared))

"""Accuracy of a stochastic classifier: over noise draws, over time, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev


@dataclass(frozen=True)
class Accuracy:
    """Correct answers for every draw of the encoder's noise and every time step.

    >>> result = Accuracy(samples=200, correct=((100, 150), (110, 160)))
    >>> result.mean, round(result.spread, 4), result.over_time
    (0.775, 0.0354, (0.525, 0.775))
    """

    samples: int
    """How many samples were evaluated, each in every draw."""
    correct: tuple[tuple[int, ...], ...]
    """``correct[draw][t]``: right answers when stopped after step t."""

    @property
    def per_draw(self) -> tuple[float, ...]:
        """Accuracy after the last step, of each draw."""
        return tuple(draw[-1] / self.samples for draw in self.correct)

    @property
    def mean(self) -> float:
        """Accuracy after the last step, mean over the draws."""
        return mean(self.per_draw)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the draws (n - 1); None for one draw, of which it is not known. It says nothing of
        the choice of samples."""
        return stdev(self.per_draw) if len(self.correct) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the mean for this number of samples: what another test set could have given."""
        return wilson(self.mean, self.samples)

    @property
    def over_time(self) -> tuple[float, ...]:
        """Accuracy when stopped after step t, mean over the draws."""
        steps = zip(*self.correct, strict=True)
        return tuple(mean(step) / self.samples for step in steps)


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share seen in ``count`` trials; 95 % by default.

    >>> [round(bound, 3) for bound in wilson(0.905, 10_000)]
    [0.899, 0.911]
    """
    centre = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return (centre - half) / scale, (centre + half) / scale

"""The stability measurement: failed starts by norm, network and learning rate, and steadiness of the others."""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import ArgumentError, Measurement
from bntt.analysis.measurements import register

MOMENT = 7
"""Updates that take as long as the measurements at one moment: gradients at seven places."""


@dataclass(frozen=True)
class StabilityArguments:
    """The grid that is trained: every network with every norm at every rate, from so many starts."""

    networks: tuple[str, ...] = ()
    """By name, the depths to compare; the recipe's own by default."""
    norms: tuple[str, ...] = ("none", "bn", "bntt")
    """Names from `bntt list norms`."""
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Learning rates, constant through a start."""
    starts: Annotated[int, Ge(1)] = 3
    """How many of each; start s takes the recipe's seed plus s."""
    steps: Annotated[int, Ge(1)] = 100
    """Updates of a start."""
    images: Annotated[int, Ge(1)] = 6400
    """Training images that a start sees, at most."""

    def __post_init__(self) -> None:
        if not (self.norms and self.rates):
            raise ArgumentError("--norms and --rates: name at least one of each")
        if not all(0 < rate < math.inf for rate in self.rates):
            raise ArgumentError(f"--rates: learning rates must be finite numbers above 0, got {list(self.rates)}")

    @property
    def moments(self) -> tuple[int, ...]:
        """Update counts at which a start is measured: before the first, half-way, at the end."""
        return tuple(sorted({0, self.steps // 2, self.steps}))

    @property
    def work(self) -> int:
        """Updates that take as long as one start."""
        return self.steps + MOMENT * len(self.moments)


STABILITY = register(
    Measurement(
        "stability",
        """Train a recipe from several starts with every norm, network and rate, and count those that fail.

    A start failed if numbers were not finite, or if its validation accuracy is below twice chance after all steps.
    Before, half-way and after them it tells the gradients of every layer and step, and how far a step along the
    gradient keeps its promise. Every start is kept as soon as it is done: the same command goes on where it stopped.

    Example: bntt stability demo --networks vgg6 vgg9 --rates 0.1 1 10 --starts 3 --steps 50 --images 2000""",
        StabilityArguments,
        opens="recipe",
        needs_spikes=False,
    )
)

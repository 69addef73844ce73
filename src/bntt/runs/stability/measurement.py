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
    """The grid of starts: every network with every norm at every learning rate, several seeds each."""

    networks: tuple[str, ...] = ()
    """Networks of different depth, by name; the recipe's own by default."""
    norms: tuple[str, ...] = ("none", "bn", "bntt")
    """Norms, names from `bntt list norms`."""
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Learning rates, constant during a start."""
    starts: Annotated[int, Ge(1)] = 3
    """Number of starts of each combination; start s uses the recipe's seed plus s."""
    steps: Annotated[int, Ge(1)] = 100
    """Number of updates in a start, not time steps."""
    images: Annotated[int, Ge(1)] = 6400
    """Largest number of training images that a start sees."""

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
        """Train a recipe from several seeds with every norm, network and learning rate, and count the starts that fail.

    A start fails if numbers are not finite, or if its validation accuracy is below twice chance at the end (with two
    classes: below 75 %). Before, half-way through and after training, it measures the gradients of every layer and
    step, and how well the gradient predicts the loss along it. Finished starts are kept: the same command continues
    after a stop.

    Example: bntt stability demo --networks vgg6 vgg9 --rates 0.1 1 10 --starts 3 --steps 50 --images 2000""",
        StabilityArguments,
        opens="recipe",
        needs_spikes=False,
    )
)

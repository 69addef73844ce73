"""The deployment measurement: what a run's bundles cost outside the laboratory, and what they know."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from bntt.analysis.measurement import Measurement, Split
from bntt.analysis.measurements import register


@dataclass(frozen=True)
class DeploymentArguments:
    """Arguments of the deployment measurement."""

    split: Split = "test"
    """Where accuracy is measured; the exit is chosen on validation."""
    images: Annotated[int, Ge(1)] = 1000
    """How many of each split, as many of each class as the split's shares allow."""
    loss: Annotated[float, Ge(0), Le(100)] = 0.5
    """The points of accuracy, in percent, that the exit may cost on validation."""
    rounds: Annotated[int, Ge(1)] = 10
    """Turns in which every bundle is timed, with and without the exit."""


DEPLOYMENT = register(
    Measurement(
        "deployment",
        """Write a run's bundles, and measure them as they run without PyTorch: accuracy, bytes, milliseconds.

        Bundles with float32, float16 and int8 weights, each with all steps and stopped by γ: by the highest threshold
        that loses no more than --loss on validation. Milliseconds are CPU time for one image, on one thread.

        Example: bntt deployment runs/fashion-mnist --images 2000""",
        DeploymentArguments,
        chooses=lambda arguments: True,
    )
)

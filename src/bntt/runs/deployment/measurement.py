"""The deployment measurement: accuracy, size and time of a run's bundles without PyTorch."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from bntt.analysis.measurement import Measurement, Split
from bntt.analysis.measurements import register


@dataclass(frozen=True)
class DeploymentArguments:
    """Arguments of the deployment measurement."""

    split: Split = "test"
    """Split to measure accuracy on; the exit is chosen on validation."""
    images: Annotated[int, Ge(1)] = 1000
    """Largest number of images of each split, stratified by class; a recipe's evaluate.images may be fewer."""
    loss: Annotated[float, Ge(0), Le(100)] = 0.5
    """Largest loss of accuracy on validation that the exit is allowed, in percentage points."""
    rounds: Annotated[int, Ge(1)] = 10
    """Number of rounds in which every bundle is timed, with and without the exit."""


DEPLOYMENT = register(
    Measurement(
        "deployment",
        """Measure a run's bundles without PyTorch: accuracy, bytes, milliseconds; bntt export writes one to keep.

        Weights are float32, float16 and int8, each with all steps and with an exit by γ: the highest threshold that
        loses at most --loss on validation. Milliseconds are CPU time per image, on one thread.

        Example: bntt deployment runs/fashion-mnist --images 2000""",
        DeploymentArguments,
        chooses=lambda arguments: True,
    )
)

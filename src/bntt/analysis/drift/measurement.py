"""Distance of every normalised layer's input from the layer's running statistics."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Split


@dataclass(frozen=True)
class DriftArguments:
    """Arguments of the drift measurement."""

    layer: str | None = None
    """Layer whose distribution is drawn; the middle normalised one by default."""
    split: Split = "validation"
    """Split whose images are measured."""
    images: Annotated[int, Ge(1)] = 500
    """Number of images for that distribution, at most."""


DRIFT = Measurement(
    "drift",
    """Measure how far the input of every normalised layer is from its running statistics, at each step.

    Distances of the means are in running standard deviations, over every image of the split; for one layer the
    distribution is drawn (the paper's Figure 3).

    Example: bntt drift runs/fashion-mnist""",
    DriftArguments,
    refuses=lambda facts, arguments: "" if facts.norm_facts.running_statistics else "its norm holds no statistics",
)

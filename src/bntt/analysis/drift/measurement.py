"""Distance of every normalised layer's input from the statistics that the layer holds for it."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Split


@dataclass(frozen=True)
class DriftArguments:
    """Arguments of the drift measurement."""

    layer: str | None = None
    """Whose distribution is drawn; the middle normalised one by default."""
    split: Split = "validation"
    """Split whose images are measured."""
    images: Annotated[int, Ge(1)] = 500
    """For that distribution, at most."""


DRIFT = Measurement(
    "drift",
    """Tell how far the input of every normalised layer is from the statistics that the layer holds for each step.

    Distances of the means in held deviations, of every image of the split; and the distribution in one layer (the
    paper's Figure 3).

    Example: bntt drift runs/fashion-mnist""",
    DriftArguments,
    refuses=lambda facts, arguments: "" if facts.norm_facts.running_statistics else "its norm holds no statistics",
)

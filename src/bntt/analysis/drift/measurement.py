"""How far the input of every normalised layer is from the statistics that the layer holds for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Facts, Measurement, Opened, Progress, Split

if TYPE_CHECKING:
    from bntt.analysis.drift.result import DriftResult


@dataclass(frozen=True)
class DriftArguments:
    """What can be asked for."""

    layer: str | None = None
    """Whose distribution is drawn; the middle normalised one by default."""
    split: Split = "validation"
    """Which images."""
    images: Annotated[int, Ge(1)] = 500
    """For that distribution, at most."""


def result() -> type[DriftResult]:
    """The record of what is found."""
    from bntt.analysis.drift.result import DriftResult

    return DriftResult


def run(opened: Sequence[Opened], asked: DriftArguments, progress: Progress) -> DriftResult:
    """Measure one run."""
    from bntt.analysis.drift.measure import measure_drift

    return measure_drift(opened[0], asked, progress)


def refuses(facts: Facts) -> str:
    """Say why a run has no drift; "" where it has."""
    if facts.is_ann:
        return "an ANN has one step and no spikes"
    return "its norm holds no statistics" if facts.norm in ("none", "layer") else ""


DRIFT = Measurement(
    "drift",
    """Tell how far the input of every normalised layer is from the statistics that the layer holds for each step.

    Distances of the means in held deviations, of every image of the split; and the distribution in one layer (the
    paper's Figure 3).

    Example: bntt drift runs/fashion-mnist""",
    DriftArguments,
    result,
    run,
    refuses=refuses,
)

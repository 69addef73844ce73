"""Which neurons of a run fire, when and for which class; and its γ over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from bntt.analysis.measurement import Measurement, Opened, Progress, Split

if TYPE_CHECKING:
    from bntt.analysis.activity.result import ActivityResult


@dataclass(frozen=True)
class ActivityArguments:
    """What can be asked for."""

    split: Split = "test"
    """Which images."""
    draws: Annotated[int, Ge(1)] = 1
    """Repetitions with fresh noise."""
    places: bool = False
    """Also write the spikes of every single neuron, as activity-places.npz."""


def result() -> type[ActivityResult]:
    """The record of what is found."""
    from bntt.analysis.activity.result import ActivityResult

    return ActivityResult


def run(opened: Sequence[Opened], asked: ActivityArguments, progress: Progress) -> ActivityResult:
    """Measure one run."""
    from bntt.analysis.activity.measure import measure_activity

    return measure_activity(opened[0], asked, progress)


ACTIVITY = Measurement(
    "activity",
    """Count a run's spikes by layer, step and class, and read its γ: peaks, spread, and how much it changes.

    Writes activity.json, activity.png and, where there is a γ for each step, activity-gamma.png.

    Example: bntt activity runs/fashion-mnist""",
    ActivityArguments,
    result,
    run,
)

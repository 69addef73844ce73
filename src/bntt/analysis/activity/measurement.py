"""Firing of the neurons of a run by step and class, and its γ over time."""

from dataclasses import dataclass

from bntt.analysis.measurement import Draws, Measurement, Split


@dataclass(frozen=True)
class ActivityArguments:
    """Arguments of the activity measurement."""

    split: Split = "test"
    """Split whose images are measured."""
    draws: Draws = 1
    """Number of draws, each with fresh noise."""
    places: bool = False
    """Also write the spikes of every neuron, as activity-places.npz."""


ACTIVITY = Measurement(
    "activity",
    """Count a run's spikes by layer, step and class; show its γ: peaks, spread, and change over time.

    Writes activity.json, activity.png and, if there is a γ for each step, activity-gamma.png.

    Example: bntt activity runs/fashion-mnist""",
    ActivityArguments,
)

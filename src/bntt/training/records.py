"""What a training tells of itself while it goes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRecord:
    """One update."""

    epoch: int
    """0-based."""
    step: int
    """0-based, within the epoch."""
    loss: float
    correct: int
    samples: int
    lr: float
    """Of the optimiser's first group, in this update."""
    seen: int
    """Samples of this epoch so far, these included."""
    jumped: tuple[int, ...] = ()
    """Where the loss jumped (see :class:`~bntt.training.guard.LossWatch`): the samples' places in their dataset."""


@dataclass(frozen=True)
class EpochRecord:
    """One whole epoch."""

    epoch: int
    loss: float
    """Mean over the epoch's samples, each taken before its update."""
    accuracy: float
    samples: int
    """Of the whole epoch, those of all processes."""
    lr: float
    """Of the optimiser's first group, when the epoch began."""

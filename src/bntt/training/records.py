"""Records that a training yields while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRecord:
    """Record of one update."""

    epoch: int
    """Epoch, 0-based."""
    step: int
    """Step within the epoch, 0-based."""
    loss: float
    correct: int
    samples: int
    lr: float
    """Learning rate of the optimiser's first group in this update."""
    seen: int
    """Samples of this epoch so far, these included."""
    jumped: tuple[int, ...] = ()
    """Dataset indices of the samples if the loss jumped (see :class:`~bntt.training.guard.LossWatch`)."""


@dataclass(frozen=True)
class EpochRecord:
    """Record of one whole epoch."""

    epoch: int
    loss: float
    """Mean over the epoch's samples, each taken before its update."""
    accuracy: float
    samples: int
    """Number of samples in the whole epoch, over all processes."""
    lr: float
    """Learning rate of the optimiser's first group when the epoch began."""

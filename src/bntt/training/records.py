"""Records that a training yields while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from bntt.training.guard import LossWatch


@dataclass(frozen=True)
class StepRecord:
    """Record of one update; returned by :func:`bntt.training.updates`."""

    epoch: int
    """Epoch, 0-based."""
    step: int
    """Update within the epoch, 0-based."""
    loss: float
    """Mean loss of the batch, before the update."""
    correct: int
    """Number of samples of the batch classified correctly."""
    samples: int
    """Number of samples in the batch."""
    lr: float
    """Learning rate of the optimiser's first group in this update."""
    seen: int
    """Number of samples of this epoch so far, this batch included."""
    jumped: tuple[int, ...] = ()
    """Dataset indices of the samples if the loss jumped (see :class:`~bntt.training.guard.LossWatch`)."""


@dataclass(frozen=True)
class EpochRecord:
    """Record of one whole epoch; returned by :func:`bntt.training.updates`."""

    epoch: int
    """Epoch, 0-based."""
    loss: float
    """Mean over the epoch's samples, each taken before its update."""
    accuracy: float
    """Fraction of the epoch's samples classified correctly, each before its update."""
    samples: int
    """Number of samples in the whole epoch, over all processes."""
    lr: float
    """Learning rate of the optimiser's first group when the epoch began."""


@dataclass
class Position:
    """Progress of a training, and the running sums of its epoch."""

    epoch: int = 0
    step: int = 0
    """Updates done in this epoch."""
    batches: int = 0
    """Batches taken in this epoch."""
    updates: int = 0
    """Updates done in all."""
    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0
    lr: float = 0.0
    """Learning rate when the epoch began."""
    watch: LossWatch = field(default_factory=LossWatch)

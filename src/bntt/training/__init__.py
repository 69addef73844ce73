"""The training procedure: it yields records and prints nothing; measuring is :mod:`bntt.analysis`'s."""

from bntt.training.fit import EpochRecord, StepRecord, fit
from bntt.training.guard import NonFiniteError
from bntt.training.objective import cross_entropy
from bntt.training.optimizer import drops_reached, sgd

__all__ = ["EpochRecord", "NonFiniteError", "StepRecord", "cross_entropy", "drops_reached", "fit", "sgd"]

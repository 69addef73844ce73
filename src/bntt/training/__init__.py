"""The training procedure: it yields records and prints nothing; :mod:`bntt.analysis` does the measuring."""

from bntt.training.conversion.ann_to_snn import convert
from bntt.training.conversion.thresholds import balance, balancing, set_thresholds, thresholds_of
from bntt.training.guard import NonFiniteError
from bntt.training.method import Method
from bntt.training.objective import cross_entropy, temporal_efficient
from bntt.training.optimizer import optimizer_of
from bntt.training.recalibrate import recalibrate
from bntt.training.records import EpochRecord, StepRecord
from bntt.training.schedule import drops_reached
from bntt.training.session import Session
from bntt.training.updates import updates

__all__ = [
    "EpochRecord",
    "Method",
    "NonFiniteError",
    "Session",
    "StepRecord",
    "balance",
    "balancing",
    "convert",
    "cross_entropy",
    "drops_reached",
    "optimizer_of",
    "recalibrate",
    "set_thresholds",
    "temporal_efficient",
    "thresholds_of",
    "updates",
]

"""The training procedure: it yields records and prints nothing; :mod:`bntt.analysis` does the measuring."""

from bntt.training.conversion.ann_to_snn import convert as convert
from bntt.training.conversion.thresholds import balance as balance
from bntt.training.conversion.thresholds import balancing as balancing
from bntt.training.conversion.thresholds import set_thresholds as set_thresholds
from bntt.training.conversion.thresholds import thresholds_of as thresholds_of
from bntt.training.distillation import Distillation as Distillation
from bntt.training.distillation import distilled as distilled
from bntt.training.guard import NonFiniteError as NonFiniteError
from bntt.training.method import Method as Method
from bntt.training.objective import cross_entropy as cross_entropy
from bntt.training.objective import temporal_efficient as temporal_efficient
from bntt.training.optimizer import optimizer_of as optimizer_of
from bntt.training.processes import Processes as Processes
from bntt.training.processes import joined_processes as joined_processes
from bntt.training.recalibrate import recalibrate as recalibrate
from bntt.training.records import EpochRecord as EpochRecord
from bntt.training.records import StepRecord as StepRecord
from bntt.training.schedule import drops_reached as drops_reached
from bntt.training.session import Session as Session
from bntt.training.updates import updates as updates

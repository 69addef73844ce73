"""The training procedure: it yields records and prints nothing; :mod:`bntt.analysis` does the measuring."""

from bntt.training.conversion import balance as balance
from bntt.training.conversion import convert as convert
from bntt.training.conversion import set_thresholds as set_thresholds
from bntt.training.conversion import thresholds_of as thresholds_of
from bntt.training.method import Method as Method
from bntt.training.objective import Distillation as Distillation
from bntt.training.objective import cross_entropy as cross_entropy
from bntt.training.objective import distilled as distilled
from bntt.training.objective import temporal_efficient as temporal_efficient
from bntt.training.optimizer import optimizer_of as optimizer_of
from bntt.training.processes import Processes as Processes
from bntt.training.processes import joined_processes as joined_processes
from bntt.training.schedule import drops_reached as drops_reached
from bntt.training.session import EpochRecord as EpochRecord
from bntt.training.session import NonFiniteError as NonFiniteError
from bntt.training.session import Session as Session
from bntt.training.session import StepRecord as StepRecord
from bntt.training.session import recalibrate as recalibrate
from bntt.training.session import updates as updates

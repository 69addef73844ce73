"""Every measurement, with those that need what only this room has: they register themselves."""

from bntt.analysis.measurements import MEASUREMENTS as MEASUREMENTS
from bntt.runs.deployment.measurement import DEPLOYMENT as DEPLOYMENT
from bntt.runs.stability.measurement import STABILITY as STABILITY

"""Every measurement, with those that need this room (``bntt.runs``); they register themselves."""

from bntt.analysis.measurements import MEASUREMENTS as MEASUREMENTS
from bntt.runs.stability import STABILITY as STABILITY

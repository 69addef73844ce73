"""Measuring a trained network: read-only, frozen results."""

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.evaluation import Evaluation, evaluate
from bntt.analysis.firing import Activity
from bntt.analysis.gamma import GammaProfile, gamma_profile

__all__ = ["Accuracy", "Activity", "Evaluation", "GammaProfile", "evaluate", "gamma_profile"]

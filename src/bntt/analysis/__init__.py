"""Measuring a network: read-only, frozen results."""

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.evaluation import Evaluation, evaluate
from bntt.analysis.firing import Activity
from bntt.analysis.gamma import GammaProfile, gamma_profile, looks_untrained, stepwise_norms
from bntt.analysis.health import Finding, health
from bntt.analysis.operations import Operations, count_operations
from bntt.analysis.prediction import Prediction, predict
from bntt.analysis.untrained import untrained_activity

__all__ = [
    "Accuracy",
    "Activity",
    "Evaluation",
    "Finding",
    "GammaProfile",
    "Operations",
    "Prediction",
    "count_operations",
    "evaluate",
    "gamma_profile",
    "health",
    "looks_untrained",
    "predict",
    "stepwise_norms",
    "untrained_activity",
]

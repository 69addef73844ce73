"""Measuring a trained network: read-only, frozen results."""

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.evaluation import Evaluation, evaluate
from bntt.analysis.firing import Activity
from bntt.analysis.gamma import GammaProfile, gamma_profile
from bntt.analysis.prediction import Prediction, predict

__all__ = [
    "Accuracy",
    "Activity",
    "Evaluation",
    "GammaProfile",
    "Prediction",
    "evaluate",
    "gamma_profile",
    "predict",
]

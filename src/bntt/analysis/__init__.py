"""Measuring a network: read-only, frozen results."""

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.early_exit import (
    Choice,
    LossBudgetError,
    NoGammaError,
    choose_exit,
    choose_truncation,
    exit_step,
    stretches,
)
from bntt.analysis.evaluation import Evaluation, evaluate
from bntt.analysis.firing import Activity
from bntt.analysis.gamma import GammaProfile, gamma_profile, looks_untrained, stepwise_norms
from bntt.analysis.health import Finding, health
from bntt.analysis.prediction import Prediction, predict
from bntt.analysis.sample_exit import SampleChoice, SampleExits, choose_sample_exit, exit_each, record_running
from bntt.analysis.untrained import untrained_activity

__all__ = [
    "Accuracy",
    "Activity",
    "Choice",
    "Evaluation",
    "Finding",
    "GammaProfile",
    "LossBudgetError",
    "NoGammaError",
    "Prediction",
    "SampleChoice",
    "SampleExits",
    "choose_exit",
    "choose_sample_exit",
    "choose_truncation",
    "evaluate",
    "exit_each",
    "exit_step",
    "gamma_profile",
    "health",
    "looks_untrained",
    "predict",
    "record_running",
    "stepwise_norms",
    "stretches",
    "untrained_activity",
]

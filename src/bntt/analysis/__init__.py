"""Measuring a network: read-only, frozen results."""

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.activity import class_activity
from bntt.analysis.drift import LayerDrift, LayerInputs, drift, layer_inputs
from bntt.analysis.early_exit import (
    Choice,
    LossBudgetError,
    NoGammaError,
    choose_exit,
    choose_truncation,
    exit_step,
    stretches,
)
from bntt.analysis.equivalence import Differences, Equivalence, equivalence
from bntt.analysis.evaluation import Evaluation, evaluate
from bntt.analysis.firing import Activity
from bntt.analysis.gamma import GammaProfile, gamma_profile, gamma_spread, looks_untrained, stepwise_norms
from bntt.analysis.health import Finding, health
from bntt.analysis.likeness import likeness
from bntt.analysis.neuron import NeuronTrace, neuron_trace
from bntt.analysis.operations import Operations, count_operations
from bntt.analysis.paired import Paired, paired
from bntt.analysis.prediction import Prediction, predict
from bntt.analysis.sample_exit import SampleChoice, SampleExits, choose_sample_exit, exit_each, record_running
from bntt.analysis.stability import AlongGradient, GradientNorms, gradient_norms, loss_along_gradient
from bntt.analysis.untrained import untrained_activity
from bntt.analysis.unvarying import Surprise, Surprises, Unvarying, surprises, unvarying

__all__ = [
    "Accuracy",
    "Activity",
    "AlongGradient",
    "Choice",
    "Differences",
    "Equivalence",
    "Evaluation",
    "Finding",
    "GammaProfile",
    "GradientNorms",
    "LayerDrift",
    "LayerInputs",
    "LossBudgetError",
    "NeuronTrace",
    "NoGammaError",
    "Operations",
    "Paired",
    "Prediction",
    "SampleChoice",
    "SampleExits",
    "Surprise",
    "Surprises",
    "Unvarying",
    "choose_exit",
    "choose_sample_exit",
    "choose_truncation",
    "class_activity",
    "count_operations",
    "drift",
    "equivalence",
    "evaluate",
    "exit_each",
    "exit_step",
    "gamma_profile",
    "gamma_spread",
    "gradient_norms",
    "health",
    "layer_inputs",
    "likeness",
    "looks_untrained",
    "loss_along_gradient",
    "neuron_trace",
    "paired",
    "predict",
    "record_running",
    "stepwise_norms",
    "stretches",
    "surprises",
    "untrained_activity",
    "unvarying",
]

"""Measuring a network: read-only, frozen results."""

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.accuracy.evaluation import Evaluation, evaluate
from bntt.analysis.accuracy.paired import Paired, paired
from bntt.analysis.activity.constant_input import Surprise, Surprises, Unvarying, surprises, unvarying
from bntt.analysis.activity.firing_rate import Activity
from bntt.analysis.activity.health import Finding, health
from bntt.analysis.activity.spike_activity import class_activity
from bntt.analysis.activity.untrained import untrained_activity
from bntt.analysis.drift.input_drift import LayerDrift, LayerInputs, drift, layer_inputs
from bntt.analysis.energy.operations import Operations, count_operations
from bntt.analysis.equivalence.folding import Differences, Equivalence, equivalence
from bntt.analysis.equivalence.similarity import likeness
from bntt.analysis.exit.early_exit import (
    Choice,
    LossBudgetError,
    NoGammaError,
    choose_exit,
    choose_truncation,
    exit_step,
    stretches,
)
from bntt.analysis.exit.gamma import GammaProfile, gamma_profile, gamma_spread, looks_untrained, stepwise_norms
from bntt.analysis.exit.sample_exit import SampleChoice, SampleExits, choose_sample_exit, exit_each, record_running
from bntt.analysis.neuron.trajectory import NeuronTrace, neuron_trace
from bntt.analysis.prediction.prediction import Prediction, predict
from bntt.analysis.stability.gradients import AlongGradient, GradientNorms, gradient_norms, loss_along_gradient

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

"""Measuring a network: read-only, frozen results."""

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.drift import LayerDrift, LayerInputs, drift, layer_inputs
from bntt.analysis.evaluation import Evaluation, evaluate
from bntt.analysis.firing import Activity
from bntt.analysis.gamma import GammaProfile, gamma_profile, looks_untrained, stepwise_norms
from bntt.analysis.health import Finding, health
from bntt.analysis.neuron import NeuronTrace, neuron_trace
from bntt.analysis.prediction import Prediction, predict
from bntt.analysis.stability import AlongGradient, GradientNorms, gradient_norms, loss_along_gradient
from bntt.analysis.untrained import untrained_activity

__all__ = [
    "Accuracy",
    "Activity",
    "AlongGradient",
    "Evaluation",
    "Finding",
    "GammaProfile",
    "GradientNorms",
    "LayerDrift",
    "LayerInputs",
    "NeuronTrace",
    "Prediction",
    "drift",
    "evaluate",
    "gamma_profile",
    "gradient_norms",
    "health",
    "layer_inputs",
    "looks_untrained",
    "loss_along_gradient",
    "neuron_trace",
    "predict",
    "stepwise_norms",
    "untrained_activity",
]

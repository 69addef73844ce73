"""Measuring a network: read-only, frozen results.

Names resolve on first use, so that what a measurement declares is read without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers, who open every door
    from bntt.analysis.accuracy.accuracy import Accuracy as Accuracy
    from bntt.analysis.accuracy.evaluation import Activity as Activity
    from bntt.analysis.accuracy.evaluation import Evaluation as Evaluation
    from bntt.analysis.accuracy.evaluation import Paired as Paired
    from bntt.analysis.accuracy.evaluation import evaluate as evaluate
    from bntt.analysis.accuracy.evaluation import paired as paired
    from bntt.analysis.accuracy.result import Surprise as Surprise
    from bntt.analysis.accuracy.result import UnvaryingInput as UnvaryingInput
    from bntt.analysis.activity.constant_input import Unvarying as Unvarying
    from bntt.analysis.activity.constant_input import surprises as surprises
    from bntt.analysis.activity.constant_input import unvarying as unvarying
    from bntt.analysis.activity.health import health as health
    from bntt.analysis.activity.measure import step_changes as step_changes
    from bntt.analysis.activity.result import Finding as Finding
    from bntt.analysis.activity.spike_activity import class_activity as class_activity
    from bntt.analysis.activity.spike_activity import untrained_activity as untrained_activity
    from bntt.analysis.drift.measure import input_drift as input_drift
    from bntt.analysis.drift.measure import layer_inputs as layer_inputs
    from bntt.analysis.drift.result import LayerDrift as LayerDrift
    from bntt.analysis.drift.result import LayerInputs as LayerInputs
    from bntt.analysis.energy.operations import Operations as Operations
    from bntt.analysis.energy.operations import count_operations as count_operations
    from bntt.analysis.equivalence.folding import fold_equivalence as fold_equivalence
    from bntt.analysis.equivalence.result import Equivalence as Equivalence
    from bntt.analysis.equivalence.result import FoldedNetwork as FoldedNetwork
    from bntt.analysis.exit.early_exit import Choice as Choice
    from bntt.analysis.exit.early_exit import LossBudgetError as LossBudgetError
    from bntt.analysis.exit.early_exit import NoGammaError as NoGammaError
    from bntt.analysis.exit.early_exit import choose_exit as choose_exit
    from bntt.analysis.exit.early_exit import choose_truncation as choose_truncation
    from bntt.analysis.exit.early_exit import exit_step as exit_step
    from bntt.analysis.exit.early_exit import stretches as stretches
    from bntt.analysis.exit.gamma import GammaProfile as GammaProfile
    from bntt.analysis.exit.gamma import gamma_profile as gamma_profile
    from bntt.analysis.exit.gamma import gamma_spread as gamma_spread
    from bntt.analysis.exit.gamma import looks_untrained as looks_untrained
    from bntt.analysis.exit.gamma import stepwise_norms as stepwise_norms
    from bntt.analysis.exit.sample_exit import SampleChoice as SampleChoice
    from bntt.analysis.exit.sample_exit import SampleExits as SampleExits
    from bntt.analysis.exit.sample_exit import choose_sample_exit as choose_sample_exit
    from bntt.analysis.exit.sample_exit import exit_each as exit_each
    from bntt.analysis.exit.sample_exit import record_running as record_running
    from bntt.analysis.neuron.measure import NeuronTrace as NeuronTrace
    from bntt.analysis.neuron.measure import neuron_trace as neuron_trace
    from bntt.analysis.prediction.prediction import Prediction as Prediction
    from bntt.analysis.prediction.prediction import predict as predict
    from bntt.analysis.stability.gradients import AlongGradient as AlongGradient
    from bntt.analysis.stability.gradients import GradientNorms as GradientNorms
    from bntt.analysis.stability.gradients import gradient_norms as gradient_norms
    from bntt.analysis.stability.gradients import loss_along_gradient as loss_along_gradient

_HOMES = {
    "bntt.analysis.accuracy.accuracy": ["Accuracy"],
    "bntt.analysis.accuracy.evaluation": ["Activity", "Evaluation", "Paired", "evaluate", "paired"],
    "bntt.analysis.accuracy.result": ["Surprise", "UnvaryingInput"],
    "bntt.analysis.activity.constant_input": ["Unvarying", "surprises", "unvarying"],
    "bntt.analysis.activity.health": ["health"],
    "bntt.analysis.activity.result": ["Finding"],
    "bntt.analysis.activity.spike_activity": ["class_activity", "untrained_activity"],
    "bntt.analysis.activity.measure": ["step_changes"],
    "bntt.analysis.drift.measure": ["input_drift", "layer_inputs"],
    "bntt.analysis.drift.result": ["LayerDrift", "LayerInputs"],
    "bntt.analysis.energy.operations": ["Operations", "count_operations"],
    "bntt.analysis.equivalence.folding": ["fold_equivalence"],
    "bntt.analysis.equivalence.result": ["Equivalence", "FoldedNetwork"],
    "bntt.analysis.exit.early_exit": [
        "Choice",
        "LossBudgetError",
        "NoGammaError",
        "choose_exit",
        "choose_truncation",
        "exit_step",
        "stretches",
    ],
    "bntt.analysis.exit.gamma": ["GammaProfile", "gamma_profile", "gamma_spread", "looks_untrained", "stepwise_norms"],
    "bntt.analysis.exit.sample_exit": [
        "SampleChoice",
        "SampleExits",
        "choose_sample_exit",
        "exit_each",
        "record_running",
    ],
    "bntt.analysis.neuron.measure": ["NeuronTrace", "neuron_trace"],
    "bntt.analysis.prediction.prediction": ["Prediction", "predict"],
    "bntt.analysis.stability.gradients": ["AlongGradient", "GradientNorms", "gradient_norms", "loss_along_gradient"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]


if not TYPE_CHECKING:  # a checker would take every misspelt name for Any

    def __getattr__(name: str) -> Any:
        if name in _HOME_OF:
            return getattr(import_module(_HOME_OF[name]), name)
        raise AttributeError(f"module 'bntt.analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

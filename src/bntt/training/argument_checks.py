"""What is given to a training: refused in a sentence where it is something else."""

from __future__ import annotations

from torch import optim

from bntt.nn.network.classifier import check_classifier
from bntt.training.method import Method


def check_given(model: object, method: object, optimizer: object) -> None:
    """Refuse what is no classifier, no method or no optimizer in the place of one.

    Raises:
        TypeError: saying what was expected, and what came.

    >>> check_given([], None, None)
    Traceback (most recent call last):
    TypeError: fit and Session train a SpikingClassifier, got list
    """
    check_classifier(model, "fit and Session train")
    for name, given, kind in (("method", method, Method), ("optimizer", optimizer, optim.Optimizer)):
        if given is not None and not isinstance(given, kind):
            raise TypeError(f"{name} must be of class {kind.__name__}, or left out, got {type(given).__name__}")

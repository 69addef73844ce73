"""What is no classifier, method or optimizer is refused in a sentence."""

import pytest
import torch

from bntt.training.given import check_given
from bntt.training.method import Method


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((torch.nn.Linear(1, 1, device="meta"), None, None), "train a SpikingClassifier, got Linear"),
        ((None, None, None), "train a SpikingClassifier, got NoneType"),
    ],
)
def test_what_is_no_classifier_is_refused(given, sentence):
    with pytest.raises(TypeError, match=sentence):
        check_given(*given)


@pytest.mark.parametrize(("name", "given"), [("method", {"lr": 0.1}), ("optimizer", Method())])
def test_a_wrong_method_or_optimizer_is_refused(name, given, monkeypatch):
    monkeypatch.setattr("bntt.training.given.check_classifier", lambda *_: None)
    with pytest.raises(TypeError, match=f"{name} must be of class"):
        check_given(None, **{"method": None, "optimizer": None, name: given})

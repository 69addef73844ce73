"""Thresholds come back with the weights, or it is an error that says so."""

from pathlib import Path

import pytest

from bntt.io.checkpoint import CheckpointError
from bntt.models import mlp
from bntt.nn import DirectEncoder, SpikingClassifier
from bntt.runs.directory import restore_thresholds
from bntt.training import thresholds_of
from tests.rows import each_row
from tests.runs import tiny


def model():
    return SpikingClassifier(DirectEncoder(2), mlp(in_features=4, hidden=(3, 3), num_steps=2, norm="none"))


def converted():
    return tiny.recipe(network={"norm": "none", "leak": 1.0}, convert={"ann": "there"})


def test_they_are_put_where_the_recipe_converts():
    made, facts = model(), {"conversion": {"thresholds": {"fc1": 2.0, "fc2": 3.0}}}
    restore_thresholds(made, converted(), facts, Path("best"))
    assert thresholds_of(made.network) == {"fc1": 2.0, "fc2": 3.0}
    untouched = model()
    restore_thresholds(untouched, tiny.recipe(), facts, Path("best"))
    assert thresholds_of(untouched.network) == {"fc1": 1.0, "fc2": 1.0}


@each_row("facts", [{}, {"conversion": {}}, {"conversion": {"thresholds": {"fc1": 2.0}}}, {"conversion": None}])
def test_a_checkpoint_without_them_is_refused(facts):
    with pytest.raises(CheckpointError, match=r"best cannot be used .*thresholds of the converted"):
        restore_thresholds(model(), converted(), facts, Path("best"))

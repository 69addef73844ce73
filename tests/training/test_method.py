"""A method's defaults are the paper's, and what cannot be is refused by name."""

import dataclasses

import pytest

from bntt.runs.recipe.file import load_recipe
from bntt.training import Method


def test_the_default_is_the_papers():
    method = Method()
    assert (method.optimizer, method.lr, method.momentum, method.schedule) == ("sgd", 0.3, 0.9, "step")
    assert (method.weight_decay, method.gamma_decay, method.lr_drops) == (5e-4, 5e-4, (50, 70, 90))
    assert (method.loss, method.label_smoothing, method.clip_norm, method.accumulate) == ("cross-entropy", 0.0, 0.0, 1)


def test_gamma_decays_as_weights_unless_it_is_told():
    assert Method(weight_decay=0.1).gamma_decay == 0.1
    assert Method(weight_decay=0.1, gamma_decay=0.0).gamma_decay == 0.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, adamw, got 'lion'"),
        ({"schedule": "steps"}, "schedule must be one of"),
        ({"loss": "mse"}, "loss must be one of"),
        ({"lr_every": "batch"}, "lr_every must be one of epoch, step"),
        ({"lr": -1.0}, "lr must be a finite number, 0 or more, got -1.0"),
        ({"weight_decay": float("nan")}, "weight_decay must be a finite number"),
        ({"clip_norm": float("inf")}, "clip_norm must be a finite number"),
        ({"average": 1.0}, "average must be from 0 to below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be from 0 to below 1"),
        ({"tet_share": 1.5}, "tet_share must be from 0 to 1"),
        ({"accumulate": 0}, "accumulate must be 1 or more"),
        ({"lr_drops": (50, 101)}, "lr_drops must be percentages"),
        ({"schedule": "one-cycle", "warmup": 1.0}, "warmup must be 0 with schedule 'one-cycle'"),
    ],
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Method(**wrong)


def test_recipes_have_the_same_keys_and_defaults():
    """Two places say them: the library's, and the recipe's schema, which does not wait for torch."""
    train = load_recipe("cifar10").train
    assert {**dataclasses.asdict(Method()), "lr_drops": [50, 70, 90], "grow": []} == train.model_dump(
        exclude={"epochs", "batch_size"}
    )
    assert train.method == Method()

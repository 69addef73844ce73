"""A method's defaults are the paper's, and what cannot be is refused by name."""

import dataclasses

import pytest

from bntt.runs.recipe.file import load_recipe
from bntt.runs.recipe.schema import Train
from bntt.training import Method


def test_the_default_is_the_papers():
    method = Method()
    assert (method.optimizer, method.lr, method.momentum, method.schedule) == ("sgd", 0.3, 0.9, "step")
    assert (method.weight_decay, method.gamma_decay, method.lr_drops) == (5e-4, 5e-4, (50, 70, 90))
    assert (method.loss, method.label_smoothing, method.clip_norm, method.accumulate) == ("cross-entropy", 0.0, None, 1)


def test_gamma_decays_as_weights_unless_it_is_told():
    assert Method(weight_decay=0.1).gamma_decay == 0.1
    assert Method(weight_decay=0.1, gamma_decay=0.0).gamma_decay == 0.0


WRONG = [
    ({"optimizer": "lion"}, 'optimizer must be "sgd", "adam" or "adamw", got \'lion\''),
    ({"schedule": "steps"}, "schedule must be .*.did you mean 'step'"),
    ({"loss": "mse"}, "loss must be "),
    ({"lr_every": "batch"}, 'lr_every must be "epoch" or "step"'),
    ({"lr": -1.0}, "lr must be a number, 0 or more, got -1.0"),
    ({"weight_decay": float("nan")}, "weight_decay must be a number"),
    ({"clip_norm": float("inf")}, "clip_norm must be a number"),
    ({"clip_norm": 10**400}, "clip_norm must be a number"),
    ({"average": 1.0}, "average must be a number above 0 and below 1"),
    ({"label_smoothing": -0.1}, "label_smoothing must be a number from 0 to below 1"),
    ({"tet_share": 1.5}, "tet_share must be a number from 0 to 1"),
    ({"accumulate": 0}, "accumulate must be a whole number from 1"),
    ({"lr_drops": (50, 101)}, "lr_drops must be a list of whole numbers from 0 to 100 .percent of epochs., got"),
    ({"grow": [[2, 1], [2, 1]]}, "grow must have ever more steps"),
    ({"nesterov": True, "optimizer": "adam"}, "nesterov needs optimizer 'sgd' with a momentum, got 'adam', 0.9"),
    ({"nesterov": True, "momentum": 0.0}, "nesterov needs optimizer 'sgd' with a momentum, got 'sgd', 0.0"),
    ({"schedule": "one-cycle", "warmup": 1.0}, "warmup must be 0 with schedule 'one-cycle'"),
]


def test_what_cannot_be_is_refused():
    for wrong, message in WRONG:
        with pytest.raises(ValueError, match=message):
            Method(**wrong)


def test_a_recipe_says_the_method_itself():
    train = load_recipe("cifar10").train
    assert train == Train(epochs=train.epochs, batch_size=train.batch_size)
    options = dataclasses.asdict(train)
    assert Method(**{name: options[name] for name in vars(Method())}) == Method()


def test_a_whole_number_is_kept_as_the_number_that_a_recipe_holds():
    assert isinstance(Method(lr=1).lr, float)

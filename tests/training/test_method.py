"""A method's defaults are the paper's, and what cannot be is refused by name."""

import dataclasses

import pytest

from bntt.runs.recipe.file import load_recipe
from bntt.runs.recipe.schema import Train
from bntt.training import Method
from tests.rows import each_row


def test_the_default_is_the_papers():
    method = Method()
    assert (method.optimizer, method.lr, method.momentum, method.schedule) == ("sgd", 0.3, 0.9, "step")
    assert (method.weight_decay, method.gamma_decay, method.lr_drops) == (5e-4, 5e-4, (50, 70, 90))
    assert (method.loss, method.label_smoothing, method.clip_norm, method.accumulate) == ("cross-entropy", 0.0, None, 1)
    assert Method(weight_decay=0.1).gamma_decay == 0.1, "as the weights, unless it is told"
    assert isinstance(Method(lr=1).lr, float)


WRONG = [
    ("optimizer .*sgd", {"optimizer": "lion"}),
    ("schedule .*step", {"schedule": "steps"}),
    ("loss", {"loss": "mse"}),
    ("lr_every", {"lr_every": "batch"}),
    ("lr .*-1.0", {"lr": -1.0}),
    ("weight_decay", {"weight_decay": float("nan")}),
    ("clip_norm", {"clip_norm": float("inf")}),
    ("clip_norm", {"clip_norm": 10**400}),
    ("average", {"average": 1.0}),
    ("label_smoothing", {"label_smoothing": -0.1}),
    ("tet_share", {"tet_share": 1.5}),
    ("accumulate", {"accumulate": 0}),
    ("lr_drops", {"lr_drops": (50, 101)}),
    *(("grow", {"grow": stages}) for stages in ([[2, 1], [2, 1]], [[3, 1], [2, 1]], [[0, 1]], [[2, 0]], [[2]])),
    ("nesterov", {"nesterov": True, "optimizer": "adam"}),
    ("nesterov", {"nesterov": True, "momentum": 0.0}),
    ("warmup", {"schedule": "one-cycle", "warmup": 1.0}),
]


@each_row("named, wrong", WRONG)
def test_what_cannot_be_is_refused(named, wrong):
    with pytest.raises(ValueError, match=f"^{named}"):
        Method(**wrong)


def test_a_recipe_says_the_method_itself():
    train = load_recipe("cifar10").train
    assert train == Train(epochs=train.epochs, batch_size=train.batch_size)
    options = dataclasses.asdict(train)
    assert Method(**{name: options[name] for name in vars(Method())}) == Method()

"""What a batch costs, by either loss; and which networks learn all that they have."""

import pytest
import torch

from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training import Method
from bntt.training.objective import BatchLoss, cross_entropy, temporal_efficient
from tests.rows import each_row

X = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
LABELS, INDEX = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([7, 2, 40, 11, 5])


def model(steps=3, **options):
    net = mlp(in_features=4, hidden=(8,), num_classes=5, num_steps=steps, **options)
    return SpikingClassifier(PoissonEncoder(steps), net)


@each_row("soft", [False, True])
def test_the_cross_entropy_after_so_many_steps(soft):
    of = BatchLoss(made := model(), Method(label_smoothing=0.1), seed=4)
    labels = torch.eye(5)[LABELS] if soft else LABELS
    loss, right = of(X, labels, INDEX, draw=2, steps=2)
    logits = made(X, seed=4, index=INDEX, draw=2, steps=2)
    assert logits.any()
    assert not torch.equal(logits, made(X, seed=4, draw=2, steps=2))
    assert loss.item() == pytest.approx(cross_entropy(logits, labels, 0.1).item())
    assert int(right) == int((logits.argmax(1) == LABELS).sum())


def test_temporal_efficient_of_every_step():
    of = BatchLoss(made := model(), Method(loss="tet", tet_share=0.2), seed=4)
    loss, right = of(X, LABELS, INDEX, draw=2, steps=3)
    each, _ = made.advance(X, steps=3, seed=4, index=INDEX, draw=2)
    assert each[-1].any()
    assert loss.item() == pytest.approx(temporal_efficient(each, LABELS, 0.2).item())
    assert int(right) == int((each[-1].argmax(1) == LABELS).sum())


@each_row(
    ("made", "method", "expected"),
    [
        (model(), Method(), True),
        (model(1), Method(), False),
        (model(learn_leak=True), Method(grow=((1, 1),)), False),
        (model(learn_leak=True), Method(grow=((2, 1),)), True),
        (model(fire="before"), Method(), False),
    ],
)
def test_which_may_have_parameters_without_a_gradient(made, method, expected):
    assert BatchLoss(made, method, seed=0).all_learn is expected

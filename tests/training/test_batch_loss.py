"""What a batch costs, by either loss; and which networks learn all that they have."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training import Method, Session, updates
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


def test_a_loss_of_ones_own_trains_by_its_gradient():
    """Twice the cross entropy, at half the rate, without momentum or decay, is the same training."""
    plain = Method(lr=0.25, momentum=0.0, weight_decay=0.0)

    def weights(method, loss):
        made = model()
        records = [*updates(made, [(X, LABELS)] * 3, epochs=2, method=method, loss=loss)]
        return made.state_dict(), [record.loss for record in records]

    usual, losses = weights(replace(plain, lr=0.5), None)
    own, doubled = weights(plain, lambda logits, labels: 2 * cross_entropy(logits, labels))
    assert doubled == [2 * loss for loss in losses]
    assert usual.keys() == own.keys()
    assert all(torch.equal(usual[name], own[name]) for name in usual)
    (alike, _), (weighed, _) = (weights(plain, nn.CrossEntropyLoss(w)) for w in (torch.ones(5), torch.arange(5.0)))
    assert not torch.equal(weighed["network.readout.synapse.weight"], alike["network.readout.synapse.weight"])


def test_a_training_does_not_go_on_with_another_loss():
    def session(loss):
        return Session(model(), [(X, LABELS)], epochs=1, loss=loss)

    tensors, facts = session(cross_entropy).state()
    session(partial(cross_entropy, label_smoothing=0.1)).load(tensors, facts)  # the name alone is compared
    for loss in (None, nn.CrossEntropyLoss()):
        with pytest.raises(ValueError, match="minimises cross_entropy"):
            session(loss).load(tensors, facts)
    older = {name: fact for name, fact in facts.items() if name != "loss"}
    session(None).load(tensors, older)


def test_a_loss_may_hold_the_model():
    """As a module whose part it is; the model's parameters are then no others."""

    class Penalty(nn.Module):
        def __init__(self, of):
            super().__init__()
            self.of = of

        def forward(self, logits, labels):
            return cross_entropy(logits, labels) + self.of.network.readout.synapse.weight.abs().sum()

    made = model()
    weight = made.network.readout.synapse.weight.abs().sum().item()
    usual, more = (
        next(updates(made, [(X, LABELS)], epochs=1, method=Method(lr=0.0), loss=loss)).loss
        for loss in (None, Penalty(made))
    )
    assert more == pytest.approx(usual + weight)


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

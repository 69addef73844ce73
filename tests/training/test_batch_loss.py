"""What a batch costs, by either loss; and which networks learn all that they have."""

from dataclasses import replace

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


def test_temporal_efficient_takes_no_classifier_that_it_would_bypass():
    made = model()
    made.register_forward_pre_hook(lambda model, args: (1 - args[0],))
    with pytest.raises(TypeError, match="the classifier has a hook"):
        BatchLoss(made, Method(loss="tet"), seed=4)
    BatchLoss(made, Method(), seed=4)


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


@each_row(
    ("loss", "message"),
    [
        (nn.Sequential(nn.Linear(5, 1)), "the loss, Sequential, has parameters to learn"),
        (nn.CrossEntropyLoss(reduction="none"), r"loss must return one number.* got a tensor \[5\]"),
        (lambda logits, _: logits.sum().item(), "loss must return one number.* got float"),
        (lambda logits, _: logits.detach().sum(), r"got a tensor \[\], without a gradient"),
    ],
)
def test_what_is_no_loss_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        next(updates(model(), [(X, LABELS)], epochs=1, loss=loss))


def test_a_loss_may_hold_the_model():
    class Penalty(nn.Module):
        def __init__(self, of):
            super().__init__()
            self.of = of

        def forward(self, logits, labels):
            return cross_entropy(logits, labels) + self.of.network.readout.synapse.weight.abs().sum()

    losses = []
    for penalised in (False, True):
        made = model()
        records = updates(made, [(X, LABELS)], epochs=1, method=Method(), loss=Penalty(made) if penalised else None)
        losses.append(next(records).loss)
    assert losses[1] == pytest.approx(losses[0] + model().network.readout.synapse.weight.abs().sum().item())


@each_row(
    ("method", "named"), [(Method(label_smoothing=0.1), "label_smoothing=0.1"), (Method(loss="tet"), "loss='tet'")]
)
def test_a_loss_next_to_the_methods_is_refused(method, named):
    with pytest.raises(ValueError, match=f"a loss of your own replaces the method's: leave out {named}$"):
        Session(model(), [(X, LABELS)], epochs=1, method=method, loss=cross_entropy)


def test_a_training_does_not_go_on_with_another_loss():
    first = Session(model(), [(X, LABELS)], epochs=1, loss=cross_entropy)
    state = first.state()
    Session(model(), [(X, LABELS)], epochs=1, loss=cross_entropy).load(*state)
    with pytest.raises(ValueError, match="it minimises cross_entropy, this one its method's loss"):
        Session(model(), [(X, LABELS)], epochs=1).load(*state)
    older = {name: fact for name, fact in state[1].items() if name != "loss"}
    Session(model(), [(X, LABELS)], epochs=1).load(state[0], older)


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

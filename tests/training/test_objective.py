"""Eq. 5 and Eq. 7 against the oracle, temporal efficient training and distillation by hand, and the loss of a batch."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training import Distillation, Method, Session, cross_entropy, distilled, temporal_efficient, updates
from bntt.training.objective import BatchLoss
from tests import reference
from tests.rows import each_row


def test_loss_and_its_gradient(rng):
    """L = -log softmax, dL/dlogits = softmax - onehot (Eq. 7), averaged over the batch."""
    logits = torch.randn(6, 5, generator=rng, dtype=torch.float64).mul_(3).requires_grad_()
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    loss = cross_entropy(logits, labels)
    loss.backward()
    values = logits.detach().numpy()
    assert abs(loss.item() - reference.cross_entropy(values, labels.numpy())) < 1e-14
    softmax = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    assert np.abs(logits.grad.numpy() - (softmax - np.eye(5)[labels.numpy()]) / 6).max() < 1e-14


@each_row(
    "named, labels",
    [
        ("labels", torch.eye(3).long()),
        ("labels", torch.tensor([0.0, 1.0, 2.0])),
        ("labels", torch.tensor([0, 1])),
        *(
            ("shares", torch.tensor([[0, 1, 0], row]))
            for row in ([0.5, 0.6, 0.0], [1.2, -0.2, 0.0], [np.nan, 0.5, 0.5])
        ),
    ],
)
def test_labels_are_an_integer_a_row_or_shares_of_1(named, labels):
    with pytest.raises(ValueError, match=named):
        cross_entropy(torch.zeros(2 if named == "shares" else 3, 3), labels)


def test_smoothed_and_shared_labels_by_hand(rng):
    """Shares q of classes give -Σ q log softmax; smoothing mixes them with 1/K."""
    logits = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1])
    log = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True))
    smoothed = 0.9 * np.eye(3)[labels.numpy()] + 0.1 / 3
    assert cross_entropy(logits, labels, 0.1).item() == pytest.approx(-(smoothed * log).sum(1).mean(), abs=1e-12)
    shares = torch.tensor([[0.3, 0.7, 0.0]] * 4, dtype=torch.float64)
    assert cross_entropy(logits, shares).item() == pytest.approx(-(shares.numpy() * log).sum(1).mean(), abs=1e-12)


def test_temporal_efficient_by_hand(rng):
    """Of every step's own drive: (1-λ) mean_t CE + λ mean (d - φ)², with gradients."""
    drives = torch.randn(4, 2, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([2, 0])
    steps = torch.arange(1, 5, dtype=torch.float64)[:, None, None]
    loss = temporal_efficient(drives.cumsum(0) / steps, labels, share=0.2, target=0.7)
    values = drives.detach().numpy()
    each = [reference.cross_entropy(step, labels.numpy()) for step in values]
    assert loss.item() == pytest.approx(0.8 * np.mean(each) + 0.2 * np.mean((values - 0.7) ** 2), abs=1e-12)
    shares = torch.eye(3, dtype=torch.float64)[labels]
    again = temporal_efficient(drives.cumsum(0) / steps, shares, share=0.2, target=0.7)
    assert again.item() == pytest.approx(loss.item(), abs=1e-12)
    loss.backward()
    softmax = np.exp(values) / np.exp(values).sum(2, keepdims=True)
    expected = 0.8 * (softmax - np.eye(3)[labels.numpy()]) / 8 + 0.2 * 2 * (values - 0.7) / values.size
    assert np.abs(drives.grad.numpy() - expected).max() < 1e-12


X = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
LABELS, INDEX = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([7, 2, 40, 11, 5])


def model(steps=3, **options):
    net = mlp(in_features=4, hidden=(8,), num_classes=5, num_steps=steps, **options)
    return SpikingClassifier(PoissonEncoder(steps), net)


@each_row("soft, steps, method", [(False, 2, {}), (True, 2, {}), (False, 3, {"loss": "tet", "tet_share": 0.2})])
def test_the_loss_of_a_batch_after_so_many_steps(soft, steps, method):
    method = Method(label_smoothing=0.1, **method)
    of = BatchLoss(made := model(), method, seed=4)
    labels = torch.eye(5)[LABELS] if soft else LABELS
    loss, right = of(X, labels, INDEX, draw=2, steps=steps)
    each, _ = made.advance(X, steps=steps, seed=4, index=INDEX, draw=2)
    assert each[-1].any()
    assert not torch.equal(each[-1], made(X, seed=4, draw=2, steps=steps))
    tet = temporal_efficient(each, labels, 0.2, label_smoothing=0.1)
    expected = tet if method.loss == "tet" else cross_entropy(each[-1], labels, 0.1)
    assert loss.item() == pytest.approx(expected.item())
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

    class Penalty(nn.ModuleList):
        def forward(self, logits, labels):
            return cross_entropy(logits, labels) + self[0].network.readout.synapse.weight.abs().sum()

    made = model()
    weight = made.network.readout.synapse.weight.abs().sum().item()
    usual, more = (
        next(updates(made, [(X, LABELS)], epochs=1, method=Method(lr=0.0), loss=loss)).loss
        for loss in (None, Penalty([made]))
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


def teacher(seed=1, steps=2):
    return model(steps, seed=seed)


def test_the_distance_from_the_answers_and_its_gradient(rng):
    """τ² Σ q (log q - log p), whose gradient is τ (p - q), both over the batch."""
    logits, answers = (torch.randn(6, 5, generator=rng, dtype=torch.float64).mul_(3) for _ in range(2))
    loss = distilled(logits.requires_grad_(), answers, 3.0)
    loss.backward()
    p, q = (
        np.exp(one / 3) / np.exp(one / 3).sum(1, keepdims=True) for one in (logits.detach().numpy(), answers.numpy())
    )
    assert loss.item() == pytest.approx(9 * (q * (np.log(q) - np.log(p))).sum(1).mean(), abs=1e-12)
    assert np.abs(logits.grad.numpy() - 3 * (p - q) / 6).max() < 1e-12


@each_row("method", [Method(label_smoothing=0.1), Method(loss="tet")])
def test_the_loss_is_mixed_with_it_on_the_batch_that_the_network_sees(method):
    """With the same noise, by the teacher's own steps and running statistics; only the network gets gradients."""
    made, known = model(), teacher().train()
    own = Distillation(known, share=0.3, temperature=2.5)
    before = {name: value.clone() for name, value in own.teacher.state_dict().items()}
    assert known.training
    of = BatchLoss(made, method, seed=4, own=own)
    mixed, right = of(X, LABELS, INDEX, draw=2, steps=2)
    usual, as_usual = BatchLoss(made, method, seed=4)(X, LABELS, INDEX, draw=2, steps=2)
    answers = known.eval()(X, seed=4, index=INDEX, draw=2).detach()
    assert not torch.equal(answers, known(X, seed=5, index=INDEX, draw=2))
    logits = made(X, seed=4, index=INDEX, draw=2, steps=2)
    assert mixed.item() == pytest.approx(0.7 * usual.item() + 0.3 * distilled(logits, answers, 2.5).item(), rel=1e-5)
    assert torch.equal(right, as_usual)
    weights = list(made.parameters())
    found = torch.autograd.grad(mixed, weights)
    parts = (torch.autograd.grad(one, weights) for one in (usual, distilled(logits, answers, 2.5)))
    expected = [0.7 * one + 0.3 * other for one, other in zip(*parts, strict=True)]
    torch.testing.assert_close(list(found), expected)
    torch.testing.assert_close(own.teacher.state_dict(), before, rtol=0, atol=0)
    assert all(one.requires_grad for one in known.parameters())


def test_a_network_can_teach_itself_as_it_was():
    """The copy stays; with a share of 1 the labels do not count, and the first distance is 0 where both run alike."""
    made = model().eval()
    of = BatchLoss(made, Method(), seed=4, own=Distillation(made, share=1.0))
    losses = [of(X, labels, INDEX, draw=0, steps=3)[0].item() for labels in (LABELS, LABELS.flip(0))]
    assert losses == pytest.approx([0, 0], abs=1e-6)
    with torch.no_grad():
        made.network.readout.synapse.weight.neg_()
    assert of(X, LABELS, INDEX, draw=0, steps=3)[0] > 0.01


def test_a_training_goes_on_with_the_same_teacher_only():
    def session(own):
        return Session(model(), [(X, LABELS)], epochs=1, loss=own)

    first = session(Distillation(teacher()))
    next(first.records())
    session(Distillation(teacher())).load(*first.state())
    others = (Distillation(teacher(2)), Distillation(teacher(), share=0.4), Distillation(teacher(), temperature=1.0))
    for own in (*others, None, cross_entropy):
        with pytest.raises(ValueError, match=r"minimises .*Distillation\(share=0.5"):
            session(own).load(*first.state())


@each_row("named, wrong", [("share", 0.0), ("share", 1.5), ("temperature", 0.0), ("temperature", float("inf"))])
def test_what_cannot_teach(named, wrong):
    with pytest.raises(ValueError, match=f"got .*{named} {wrong}"):
        Distillation(teacher(), **{named: wrong})
    with pytest.raises(TypeError, match="SpikingClassifier"):
        Distillation(teacher().network)
    with pytest.raises(ValueError, match="classes"):
        distilled(torch.zeros(5, 4), torch.zeros(5, 5))

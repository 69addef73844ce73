"""Eq. 5 and Eq. 7 against the oracle."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bntt.training import Session, cross_entropy, temporal_efficient
from tests import reference
from tests.rows import each_row
from tests.training.test_fit import build, loader


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


@each_row("labels", [torch.eye(4)[:, :3].long(), torch.tensor([0.0, 1.0, 2.0, 0.0]), torch.tensor([0, 1, 2])])
def test_labels_must_be_one_integer_a_row(labels):
    with pytest.raises(ValueError, match="labels must be 4 integers"):
        cross_entropy(torch.zeros(4, 3), labels)


def test_smoothed_and_shared_labels_by_hand(rng):
    """Shares q of classes give -Σ q log softmax; smoothing mixes them with 1/K."""
    logits = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1])
    log = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True))
    smoothed = 0.9 * np.eye(3)[labels.numpy()] + 0.1 / 3
    assert cross_entropy(logits, labels, 0.1).item() == pytest.approx(-(smoothed * log).sum(1).mean(), abs=1e-12)
    shares = torch.tensor([[0.3, 0.7, 0.0]] * 4, dtype=torch.float64)
    assert cross_entropy(logits, shares).item() == pytest.approx(-(shares.numpy() * log).sum(1).mean(), abs=1e-12)


@each_row("shares", [[[0.5, 0.6, 0.0]], [[1.2, -0.2, 0.0]], [[float("nan"), 0.5, 0.5]]])
def test_shares_must_add_up(shares):
    with pytest.raises(ValueError, match=r"shares of the classes, .* 1 in sum"):
        cross_entropy(torch.zeros(1, 3), torch.tensor(shares))


def test_temporal_efficient_by_hand(rng):
    """Of every step's own drive: (1-λ) mean_t CE + λ mean (d - φ)², with gradients."""
    drives = torch.randn(4, 2, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([2, 0])
    steps = torch.arange(1, 5, dtype=torch.float64)[:, None, None]
    loss = temporal_efficient(drives.cumsum(0) / steps, labels, share=0.2, target=0.7)
    values = drives.detach().numpy()
    each = [reference.cross_entropy(step, labels.numpy()) for step in values]
    assert loss.item() == pytest.approx(0.8 * np.mean(each) + 0.2 * np.mean((values - 0.7) ** 2), abs=1e-12)
    loss.backward()
    softmax = np.exp(values) / np.exp(values).sum(2, keepdims=True)
    expected = 0.8 * (softmax - np.eye(3)[labels.numpy()]) / 8 + 0.2 * 2 * (values - 0.7) / values.size
    assert np.abs(drives.grad.numpy() - expected).max() < 1e-12


def test_temporal_efficient_takes_shares_too(rng):
    logits = torch.randn(3, 2, 4, generator=rng, dtype=torch.float64)
    labels = torch.tensor([1, 3])
    shares = torch.nn.functional.one_hot(labels, 4).double()
    assert temporal_efficient(logits, shares).item() == pytest.approx(temporal_efficient(logits, labels).item())


def test_of_one_step_without_a_distance_it_is_the_cross_entropy(rng):
    logits = torch.randn(1, 5, 4, generator=rng)
    labels = torch.tensor([0, 1, 2, 3, 0])
    assert torch.equal(temporal_efficient(logits, labels, share=0.0), cross_entropy(logits[0], labels))


class Weighed:
    """A loss of one's own with settings, one of them itself."""

    def __init__(self, weights):
        self.weights, self.inner = weights, self.weighed

    def __call__(self, logits, labels):
        return self.weighed(logits, labels)

    def weighed(self, logits, labels):
        return functional.cross_entropy(logits, labels, torch.as_tensor(self.weights))


def closure(weights, smoothing=0.0):
    def loss(logits, labels, more=smoothing):
        return functional.cross_entropy(logits, labels, weights, label_smoothing=more)

    return loss


ONES, TWOS = torch.ones(3), torch.full((3,), 2.0)
LOSSES = {  # how each is made, twice the same and once another
    "a partial": (lambda: partial(functional.cross_entropy, label_smoothing=0.1), lambda: functional.cross_entropy),
    "a partial with a tensor": (
        lambda: partial(functional.cross_entropy, weight=ONES.clone()),
        lambda: partial(functional.cross_entropy, weight=TWOS),
    ),
    "a module": (lambda: nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss),
    "a module with a tensor": (lambda: nn.CrossEntropyLoss(ONES.clone()), lambda: nn.CrossEntropyLoss(TWOS)),
    "a lambda": (
        lambda: lambda logits, labels: functional.cross_entropy(logits, labels),
        lambda: lambda logits, labels: functional.cross_entropy(logits, labels, label_smoothing=0.1),
    ),
    "a closure": (lambda: closure(ONES.clone()), lambda: closure(TWOS)),
    "a default": (lambda: closure(ONES), lambda: closure(ONES, 0.1)),
    "a callable": (lambda: Weighed(ONES.clone()), lambda: Weighed(TWOS)),
    "a callable with an array": (lambda: Weighed(np.ones(3, "f4")), lambda: Weighed(np.full(3, 2, "f4"))),
    "a method": (lambda: Weighed(ONES.clone()).weighed, lambda: Weighed(TWOS).weighed),
    "compiled": (
        lambda: torch.compile(closure(ONES.clone()), backend="eager"),
        lambda: torch.compile(closure(TWOS), backend="eager"),
    ),
}


@each_row("name", LOSSES)
def test_a_training_is_resumed_with_a_loss_of_the_same_settings_only(name):
    same, other = LOSSES[name]
    first, again, changed = (Session(build(), loader(), epochs=1, loss=make()) for make in (same, same, other))
    tensors, facts = first.state()
    again.load(tensors, facts)
    with pytest.raises(ValueError, match="the saved training does not fit: it minimises"):
        changed.load(tensors, facts)
    old = {key: value for key, value in facts.items() if key != "loss_settings"}
    again.load(tensors, old)  # as older states, which have the name alone


def test_what_a_training_moves_is_no_setting_of_its_loss():
    """A loss may hold the model, a part of it, and what the optimizer steps: none of them is as it began."""

    def session():
        model, scale = build(), nn.Parameter(torch.zeros(()))
        block, var = model.network.blocks["fc1"], model.network.blocks["fc1"].norm.running_var

        def loss(logits, labels):
            more = block.norm.gamma.square().sum() + var.sum() + model.network.readout.synapse.weight.sum()
            return functional.cross_entropy(logits * scale.exp(), labels) + 1e-3 * more

        optimizer = torch.optim.SGD([*model.parameters(), scale], lr=0.1)
        return Session(model, loader(), epochs=2, optimizer=optimizer, loss=loss), model, scale

    (one, *_), (other, model, scale) = session(), session()
    next(one.records())
    with torch.no_grad():
        for value in (scale, *model.parameters(), *model.buffers()):
            value += 1
    again = Session(model, loader(), epochs=2, optimizer=other.optimizer, loss=other.loss)
    again.load(*one.state())

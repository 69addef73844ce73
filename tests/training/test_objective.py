"""Eq. 5 and Eq. 7 against the oracle."""

import numpy as np
import pytest
import torch

from bntt.training import cross_entropy, temporal_efficient
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
    loss.backward()
    softmax = np.exp(values) / np.exp(values).sum(2, keepdims=True)
    expected = 0.8 * (softmax - np.eye(3)[labels.numpy()]) / 8 + 0.2 * 2 * (values - 0.7) / values.size
    assert np.abs(drives.grad.numpy() - expected).max() < 1e-12


def test_temporal_efficient_takes_shares_too(rng):
    logits = torch.randn(3, 2, 4, generator=rng, dtype=torch.float64)
    labels = torch.tensor([1, 3])
    shares = torch.nn.functional.one_hot(labels, 4).double()
    assert temporal_efficient(logits, shares).item() == pytest.approx(temporal_efficient(logits, labels).item())

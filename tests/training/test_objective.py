"""Eq. 5 and Eq. 7 against the oracle."""

import numpy as np
import pytest
import torch

from bntt.training import cross_entropy
from tests import reference


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


@pytest.mark.parametrize("labels", [torch.eye(4)[:, :3], torch.tensor([0.0, 1.0, 2.0, 0.0]), torch.tensor([0, 1, 2])])
def test_labels_must_be_one_integer_a_row(labels):
    with pytest.raises(ValueError, match="labels must be 4 integers"):
        cross_entropy(torch.zeros(4, 3), labels)

"""The encoder of sequences: which value drives which step, normalised how, and what is refused."""

import pytest
import torch

from bntt.models import mlp
from bntt.nn import SequenceEncoder, SpikingClassifier
from tests.kernels import choose
from tests.rows import each_row

T = 6


def test_a_step_is_driven_by_its_values_normalised_by_feature(rng):
    x = torch.rand(3, T, 2, generator=rng)
    drive = SequenceEncoder(T, mean=[0.5, 0.1], std=[0.25, 2.0])(x)
    assert drive.shape == (T, 3, 2)
    for t in range(T):
        assert torch.allclose(drive[t, :, 0], (x[:, t, 0] - 0.5) / 0.25)
        assert torch.allclose(drive[t, :, 1], (x[:, t, 1] - 0.1) / 2)


def test_one_number_serves_all_features_and_none_leaves_the_values(rng):
    x = torch.randn(3, T, 4, generator=rng)
    assert torch.equal(SequenceEncoder(T)(x), x.transpose(0, 1))
    assert torch.allclose(
        SequenceEncoder(T, mean=0.5, std=2.0)(x, steps=range(2, 4)), (x[:, 2:4] - 0.5).transpose(0, 1) / 2
    )


def test_gradients_pass(rng):
    x = torch.rand(2, T, 1, generator=rng).requires_grad_()
    SequenceEncoder(T, mean=0.5, std=0.25)(x)[2].sum().backward()
    assert torch.equal(x.grad[:, :, 0], 4 * torch.eye(T)[2].expand(2, T))


@each_row(
    "bad, error, message",
    [
        (torch.zeros(3, T - 1, 2), ValueError, r"the encoder's T = 6 steps, got shape \[3, 5, 2\]"),
        (torch.zeros(3, T, 2, 4, 4), ValueError, r"sequences must be \[B, T, F\].*got shape \[3, 6, 2, 4, 4\]"),
        (torch.zeros(3, T), ValueError, r"sequences must be \[B, T, F\]"),
        (torch.zeros(3, T, 3), ValueError, "mean and std have 2 features, the sequences have 3"),
        (torch.full((3, T, 2), float("nan")), ValueError, "sequences that are not finite"),
        (torch.zeros(3, T, 2, dtype=torch.uint8), TypeError, "floating point sequences, got torch.uint8"),
    ],
)
def test_what_is_no_sequences(bad, error, message):
    with pytest.raises(error, match=message):
        SequenceEncoder(T, mean=[0.1, 0.2], std=[1.0, 1.0])(bad)


def test_mean_and_std_come_together():
    with pytest.raises(ValueError, match="mean and std come together"):
        SequenceEncoder(T, mean=0.5)


@each_row("backend", ["auto", "reference"])
def test_a_classifier_of_sequences(backend, rng):
    """Whole, traced and in parts: as the network on the same values, time first."""
    net = mlp(in_features=2, hidden=(8,), num_classes=3, num_steps=T, seed=1)
    choose(net, backend=backend)
    model, x = SpikingClassifier(SequenceEncoder(T, mean=0.5, std=0.5), net).eval(), torch.rand(5, T, 2, generator=rng)
    time_first = (2 * x - 1).transpose(0, 1).contiguous()
    assert torch.allclose(model(x), net(time_first), atol=1e-6)
    assert torch.allclose(model(x, steps=2), net(time_first[:2], steps=2), atol=1e-6)
    assert torch.allclose(model.trace(x).logits, net.trace(time_first).logits, atol=1e-6)
    _, state = model.advance(x, steps=2)
    rest, _ = model.advance(x, state, steps=4)
    assert torch.allclose(rest[-1], net(time_first), atol=1e-6)

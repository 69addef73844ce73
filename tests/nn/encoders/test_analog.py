"""Real numbers that drive the first layer: an image held still, frames in their order."""

import pytest
import torch

from bntt.models import mlp
from bntt.nn import DirectEncoder, FrameEncoder, SpikingClassifier
from tests.kernels import choose
from tests.rows import each_row

T = 6


def test_direct_coding_repeats_the_image_without_a_copy(rng):
    images = torch.rand(3, 2, 4, 4, generator=rng)
    drive = DirectEncoder(T)(images, seed=1, draw=2)
    assert all(torch.equal(drive[t], images) for t in range(T))
    assert drive.data_ptr() == images.data_ptr()
    assert drive.stride(0) == 0


def test_direct_coding_takes_any_sign_after_the_normalisation(rng):
    images = torch.rand(3, 2, 4, 4, generator=rng)
    encoder = DirectEncoder(T, mean=[0.5, 0.4], std=[0.25, 0.2])
    x = encoder.normalized(images)
    assert x.min() < 0
    assert torch.equal(encoder(images, steps=range(2)), encoder.spikes(x, steps=range(2)))


def test_direct_coding_passes_the_gradient(rng):
    images = torch.rand(3, 1, 4, 4, generator=rng).requires_grad_()
    towards = torch.rand(T, 3, 1, 4, 4, generator=rng)
    (DirectEncoder(T, mean=[0.5], std=[0.25])(images) * towards).sum().backward()
    assert torch.allclose(images.grad, towards.sum(0) / 0.25)


@each_row("shape", [(3, T, 2, 4, 4), (3, T, 5), (1, T, 1)])
def test_frames_keep_their_order_and_their_samples(shape, rng):
    frames = torch.randn(shape, generator=rng).requires_grad_()
    drive = FrameEncoder(T)(frames)
    assert drive.shape == (T, shape[0], *shape[2:])
    assert all(torch.equal(drive[t], frames[:, t]) for t in range(T))
    assert drive.data_ptr() == frames.data_ptr()
    drive[2].sum().backward()
    assert torch.equal(frames.grad.flatten(2).sum(2)[0], torch.eye(T)[2] * frames[0, 0].numel())


@each_row(
    "bad, error, message",
    [
        (torch.zeros(3, T - 1, 5), ValueError, r"the encoder's T = 6 steps.*got shape \[3, 5, 5\]"),
        (torch.zeros(3, T + 1, 2, 4, 4), ValueError, r"got shape \[3, 7, 2, 4, 4\]"),
        (torch.zeros(3, T), ValueError, r"frames must be \[B, T, ...\]"),
        (torch.zeros(0, T, 5), ValueError, "empty batch"),
        (torch.full((3, T, 5), float("nan")), ValueError, "frames that are not finite"),
        (torch.zeros(3, T, 5, dtype=torch.complex64), TypeError, "floating point frames, got torch.complex64"),
    ],
)
def test_what_is_no_frames(bad, error, message):
    with pytest.raises(error, match=message):
        FrameEncoder(T)(bad)


@each_row("backend", ["auto", "reference"])
@each_row("shape", [(5, T, 8), (5, T, 2, 2, 2)])
def test_a_classifier_of_frames(shape, backend, rng):
    net = mlp(in_features=8, hidden=(8,), num_classes=3, num_steps=T, seed=1)
    choose(net, backend=backend)
    model, frames = SpikingClassifier(FrameEncoder(T), net).eval(), torch.randn(shape, generator=rng)
    time_first = frames.transpose(0, 1).contiguous()
    assert torch.allclose(model(frames), net(time_first), atol=1e-6)
    assert torch.allclose(model.trace(frames).logits, net.trace(time_first).logits, atol=1e-6)
    _, state = model.advance(frames, steps=2)
    rest, _ = model.advance(frames, state, steps=4)
    assert torch.allclose(rest[-1], net(time_first), atol=1e-6)


def test_only_the_frames_asked_for_are_looked_at():
    """A stream of T steps would look at all of them T times."""
    frames = torch.zeros(3, T, 5)
    frames[1, 4] = torch.nan
    assert FrameEncoder(T)(frames, steps=range(4)).shape == (4, 3, 5)
    with pytest.raises(ValueError, match="frames that are not finite, first in sample 1"):
        FrameEncoder(T)(frames, steps=range(4, 5))
    assert FrameEncoder(T)(torch.ones(3, T, 5, dtype=torch.uint8), steps=range(2)).dtype == torch.float32

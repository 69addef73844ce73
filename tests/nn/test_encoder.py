"""The encoders: independence of batching (the issue's item 3, promises N8 and N9), range checks."""

import math

import pytest
import torch

import bntt
from bntt.nn import DirectEncoder, PoissonEncoder
from bntt.ops.random import Purpose
from tests import reference
from tests.kernels import choose, needs_kernels, variant

_ = variant
N, T = 64, 6


@pytest.fixture
def images(rng):
    return torch.randn(N, 2, 5, 4, generator=rng)


@pytest.fixture
def spikes(images):
    return PoissonEncoder(T)(images, seed=3, draw=2)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batch_size_does_not_matter(images, spikes, batch):
    encoder, index = PoissonEncoder(T), torch.arange(N)
    parts = zip(images.split(batch), index.split(batch), strict=True)
    assert torch.equal(torch.cat([encoder(x, seed=3, index=i, draw=2) for x, i in parts], 1), spikes)


def test_order_does_not_matter(images, spikes, rng):
    order = torch.randperm(N, generator=rng)
    assert torch.equal(PoissonEncoder(T)(images[order], seed=3, index=order, draw=2), spikes[:, order])


def test_an_image_alone_has_its_own_spikes(images, spikes):
    alone = PoissonEncoder(T)(images[17:18], seed=3, index=torch.tensor([17]), draw=2)
    assert torch.equal(alone[:, 0], spikes[:, 17])


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(images, spikes, threads):
    torch.set_num_threads(threads)
    big = images.repeat(1, 1, 30, 30)
    expected = PoissonEncoder(T)(big, seed=3, draw=2)
    torch.set_num_threads(3 - threads)
    assert torch.equal(PoissonEncoder(T)(big, seed=3, draw=2), expected)


def test_memory_layout_does_not_matter(images, spikes):
    layout = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(PoissonEncoder(T)(layout, seed=3, draw=2), spikes)


def test_step_form_is_the_sequence_form(images, spikes):
    encoder = PoissonEncoder(T)
    for t in range(T):
        assert torch.equal(encoder.step(images, t, seed=3, draw=2), spikes[t])


def test_spikes_are_the_oracles(images, spikes):
    """The paper's rule on independently computed uniforms."""
    for b, t, c, h, w in [(0, 0, 0, 0, 0), (5, 3, 1, 4, 3), (63, 5, 0, 2, 1)]:
        u = reference.uniform(3, int(Purpose.SPIKES), 2, b, t, (c * 5 + h) * 4 + w)
        assert spikes[t, b, c, h, w].item() == reference.signed_poisson(images[b, c, h, w].double().item(), u)


@pytest.mark.parametrize("change", [{"seed": 4}, {"draw": 3}])
def test_seed_and_draw_give_other_noise(images, spikes, change):
    other = PoissonEncoder(T)(images, **{"seed": 3, "draw": 2, **change})
    assert 0.05 < (other != spikes).float().mean() < 0.95


def test_noise_differs_between_steps_and_pixels():
    """Same pixel value everywhere: correlation between steps, samples and neighbours stays under 4 / sqrt(N)."""
    s = PoissonEncoder(50)(torch.ones(50, 1, 20, 20)) - 0.5
    for a, b in ((s[:-1], s[1:]), (s[:, :-1], s[:, 1:]), (s[..., :-1], s[..., 1:])):
        r = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert abs(r) < 4 / math.sqrt(a.numel())


def test_unsigned_refuses_what_is_no_rate():
    with pytest.raises(ValueError, match="unsigned rate coding takes pixels from 0 to 1"):
        PoissonEncoder(T, signed=False)(torch.full((1, 1, 2, 2), -0.1))
    assert set(PoissonEncoder(T, signed=False)(torch.full((1, 1, 2, 2), 0.5)).unique().tolist()) == {0.0, 1.0}


def test_index_must_name_every_sample(images):
    with pytest.raises(ValueError, match="index must name each of the 64 samples by an integer"):
        PoissonEncoder(T)(images, index=torch.arange(3))


def test_no_gradient_is_pretended(images):
    """A zero gradient would look like perfect robustness; a detached result cannot be differentiated."""
    assert not PoissonEncoder(T)(images.requires_grad_()).requires_grad


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (torch.full((1, 1, 2, 2), float("nan")), ValueError, "not finite"),
        (torch.ones(1, 1, 2, 2, dtype=torch.uint8), TypeError, "floating point"),
        (torch.ones(0, 1, 2, 2), ValueError, "empty batch"),
    ],
)
def test_images_that_cannot_be_coded(bad, error, message):
    with pytest.raises(error, match=message):
        PoissonEncoder(T)(bad)


@pytest.mark.parametrize("encoder", [PoissonEncoder, DirectEncoder])
@pytest.mark.parametrize("t", [-1, T])
def test_a_step_beyond_the_last(encoder, t, images):
    with pytest.raises(ValueError, match=rf"has 6 time steps \(0-5\), got t={t}"):
        encoder(T).step(images, t)


@pytest.mark.parametrize("encoder", [PoissonEncoder, DirectEncoder])
def test_steps_must_be_positive(encoder):
    with pytest.raises(ValueError, match="num_steps must be a whole number, 1 or more, got 0"):
        encoder(0)


def test_direct_coding_repeats_the_image_without_a_copy(images):
    encoder = DirectEncoder(T)
    drive = encoder(images, seed=1, draw=2)
    assert all(torch.equal(drive[t], encoder.step(images, t)) for t in range(T))
    assert drive.data_ptr() == images.data_ptr()
    assert drive.stride(0) == 0


@needs_kernels
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("shape", [(5, 3, 4, 7), (1, 1, 1, 1), (3, 1, 28, 28)])
def test_the_compiled_spikes_are_the_same_to_the_bit(signed, shape, variant, rng):
    images = torch.rand(shape, generator=rng)
    if signed:
        images = (images - 0.5) * 5
        images[0, 0, 0, 0] = 0.0
    encoder, index = PoissonEncoder(T, signed=signed), torch.arange(shape[0]) * 1_000_003
    for threads in (1, 3):
        torch.set_num_threads(threads)
        ours = encoder.as_bytes(images, seed=2**62, index=index, draw=2**32)
        assert ours.shape == (T, *shape)
        assert torch.equal(ours.float(), encoder(images, seed=2**62, index=index, draw=2**32))
    assert ours.permute(0, 1, 3, 4, 2).is_contiguous()


@needs_kernels
def test_a_classifier_gives_its_network_the_same_spikes_either_way(rng):
    net = bntt.models.vgg6(num_classes=3, in_channels=1, image_size=8, num_steps=T, width=0.3)
    model = bntt.SpikingClassifier(PoissonEncoder(T), net, mean=[0.3], std=[0.3])
    images = torch.rand(4, 1, 8, 8, generator=rng)
    bytes_given, seen = net.plan((T, 4, 1, 8, 8)).takes_bytes, []
    assert bytes_given
    for backend in ("cpu", "reference"):
        choose(net, backend=backend)
        seen.append(model._encode(model._normalize(images), 1, None, 5))
    assert (seen[0].dtype, seen[1].dtype) == (torch.int8, torch.float32)
    assert torch.equal(seen[0].float(), seen[1])

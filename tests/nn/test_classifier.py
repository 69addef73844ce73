"""Pixels in, logits out; and what is refused."""

import pytest
import torch

from bntt.models import mlp, vgg6
from bntt.nn import DirectEncoder, PoissonEncoder, SpikingClassifier


def build(encoder=None, **options):
    options = options or {"mean": [0.5], "std": [0.25]}
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, seed=1)
    return SpikingClassifier(encoder or PoissonEncoder(4), net, **options)


@pytest.fixture
def images(rng):
    return torch.rand(5, 1, 4, 4, generator=rng)


def test_logits_are_the_networks_on_normalised_spikes(images):
    model = build().eval()
    spikes = model.encoder((images - 0.5) / 0.25, seed=3, draw=2)
    assert torch.equal(model(images, seed=3, draw=2), model.network(spikes))


def test_the_same_numbers_give_the_same_logits_and_others_do_not(images):
    model = build().eval()
    first = model(images, seed=3, draw=2)
    assert torch.equal(model(images, seed=3, draw=2), first)
    assert not torch.equal(model(images, seed=3, draw=3), first)
    assert not torch.equal(model(images, seed=4, draw=2), first)


def test_prediction_does_not_depend_on_batching(images):
    """N9 in float64: alone or together, in any order."""
    model, index = build().double().eval(), torch.arange(5)
    images = images.double()
    together = model(images, seed=3)
    alone = torch.cat([model(images[i : i + 1], seed=3, index=index[i : i + 1]) for i in range(5)])
    assert torch.allclose(together, alone, atol=1e-10)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(model(images[order], seed=3, index=order), together[order], atol=1e-10)


def test_trace_ends_with_the_forwards_logits(images):
    model = build().double().eval()
    images = images.double()
    assert torch.allclose(model.trace(images, seed=3, draw=2).logits[-1], model(images, seed=3, draw=2), atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), TypeError, "divide by 255"),
        (torch.full((2, 1, 4, 4), 255.0), ValueError, "from 0 to 1, got 255 to 255"),
        (torch.full((2, 1, 4, 4), -0.5), ValueError, "from 0 to 1"),
        (torch.full((2, 1, 4, 4), float("nan")), ValueError, "finite"),
        (torch.full((2, 1, 4, 4), float("inf")), ValueError, "finite"),
        (torch.zeros(1, 4, 4), ValueError, r"\[B, C, H, W\]"),
        (torch.zeros(0, 1, 4, 4), ValueError, "B >= 1"),
        (torch.zeros(2, 3, 4, 4), ValueError, "mean and std have 1 channels, the images have 3"),
    ],
)
def test_bad_images_are_refused(bad, error, message):
    with pytest.raises(error, match=message):
        build()(bad)


def test_one_bad_pixel_is_found(images):
    images[3, 0, 2, 2] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        build()(images)


@pytest.mark.parametrize(
    "options",
    [{"mean": [0.5], "std": None}, {"mean": None, "std": [0.5]}, {"mean": [0.5], "std": [0.5, 0.5]}],
)
def test_mean_and_std_come_together(options):
    with pytest.raises(ValueError, match="mean and std come together"):
        build(**options)


@pytest.mark.parametrize("bad", [{"mean": [float("nan")], "std": [1.0]}, {"mean": [0.0], "std": [float("inf")]}])
def test_mean_and_std_must_be_finite(bad):
    with pytest.raises(ValueError, match="must be finite in every channel"):
        build(**bad)


@pytest.mark.parametrize("form", [0.5, [0.5], torch.tensor([0.5]), [1]])
def test_mean_and_std_in_any_form(form, images):
    model = build(mean=form, std=form).double()
    assert model(images.double()).dtype == torch.float64


def test_std_must_be_positive():
    with pytest.raises(ValueError, match="std must be above 0"):
        build(mean=[0.5], std=[0.0])


def test_encoder_and_network_must_have_the_same_steps():
    with pytest.raises(ValueError, match="num_steps=4 and the network num_steps=7"):
        SpikingClassifier(PoissonEncoder(4), vgg6(num_steps=7))


@pytest.mark.parametrize("encoder", [DirectEncoder(4), PoissonEncoder(4, signed=False)])
def test_pixels_may_go_in_as_they_are(images, encoder):
    assert build(encoder, mean=None, std=None)(images).shape == (5, 3)


@pytest.mark.parametrize("layout", ["channels_last", "non-contiguous", "requires_grad"])
def test_memory_layout_does_not_matter(layout, rng):
    """Fault 48."""
    net = vgg6(width=0.25, num_steps=2, in_channels=2, image_size=8).eval()
    model = SpikingClassifier(PoissonEncoder(2), net)
    images = torch.rand(3, 2, 8, 8, generator=rng)
    other = {
        "channels_last": images.contiguous(memory_format=torch.channels_last),
        "non-contiguous": images.transpose(2, 3).contiguous().transpose(2, 3),
        "requires_grad": images.clone().requires_grad_(),
    }[layout]
    assert torch.allclose(model(other), model(images), atol=1e-6)

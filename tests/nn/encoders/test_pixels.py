"""Images that are refused, and the normalisation per channel by hand."""

import pytest
import torch

from bntt.nn import DirectEncoder, PoissonEncoder
from bntt.nn.encoders import channel_scales
from tests.rows import each_row

ENCODERS = pytest.mark.parametrize("encoder", [PoissonEncoder, DirectEncoder])


@ENCODERS
@each_row(
    "bad, error, message",
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), TypeError, "divide by 255"),
        (torch.full((2, 1, 4, 4), 255.0), ValueError, "from 0 to 1, got 255 to 255"),
        (torch.full((2, 1, 4, 4), -0.5), ValueError, "from 0 to 1"),
        (torch.full((2, 1, 4, 4), float("nan")), ValueError, "finite"),
        (torch.full((2, 1, 4, 4), float("inf")), ValueError, "finite"),
        (torch.zeros(1, 4, 4), ValueError, r"\[B, C, H, W\]"),
        (torch.zeros(0, 1, 4, 4), ValueError, "empty batch"),
        (torch.zeros(2, 3, 4, 4), ValueError, "the 1 channels of mean and std"),
        (torch.zeros(2, 1, 4, 4, device="meta"), TypeError, "no values"),
    ],
)
def test_bad_images_are_refused(encoder, bad, error, message):
    with pytest.raises(error, match=message):
        encoder(4, mean=[0.5], std=[0.25])(bad)


def test_one_bad_pixel_is_found(rng):
    images = torch.rand(5, 1, 4, 4, generator=rng)
    images[3, 0, 2, 2] = float("nan")
    with pytest.raises(ValueError, match=r"finite .*first in sample 3 of the batch"):
        DirectEncoder(1).normalized(images)


def test_pixels_may_go_in_as_they_are(rng):
    images = torch.rand(5, 1, 4, 4, generator=rng)
    assert DirectEncoder(1).normalized(images) is images


@ENCODERS
@each_row("options", [{"mean": [0.5], "std": None}, {"mean": None, "std": [0.5]}, {"mean": [0.5], "std": [0.5, 0.5]}])
def test_mean_and_std_come_together(encoder, options):
    with pytest.raises(ValueError, match="mean and std come together"):
        encoder(4, **options)


@each_row("bad", [{"mean": [float("nan")], "std": [1.0]}, {"mean": [0.0], "std": [float("inf")]}])
def test_mean_and_std_must_be_finite(bad):
    with pytest.raises(ValueError, match="one finite number per channel"):
        channel_scales(**bad)


@each_row("form", [0.5, [0.5], torch.tensor([0.5]), [1]])
def test_mean_and_std_in_any_form(form, rng):
    images = torch.rand(5, 1, 4, 4, generator=rng).double()
    found = DirectEncoder(4, mean=form, std=form).double().normalized(images)
    assert found.dtype == torch.float64
    value = form if isinstance(form, float) else float(form[0])
    assert torch.allclose(found, (images - value) / value)


def test_std_must_be_positive():
    with pytest.raises(ValueError, match="std above 0"):
        channel_scales([0.5], [0.0])

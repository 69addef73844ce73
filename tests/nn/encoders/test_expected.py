"""What rate coding says on average."""

import pytest
import torch

from bntt.nn import ExpectedEncoder, PoissonEncoder
from tests.rows import each_row


@each_row("signed", [True, False])
def test_it_is_the_mean_of_many_spikes(signed, rng):
    images = torch.rand(2, 1, 3, 3, generator=rng)
    scales = {"mean": [0.4], "std": [0.2]} if signed else {}
    drawn = PoissonEncoder(4000, signed=signed, **scales)(images, seed=3)
    told = ExpectedEncoder(1, signed=signed, **scales)(images)[0]
    assert (drawn.mean(0) - told).abs().max() < 5 * 0.5 / 4000**0.5
    assert not signed or told.amin() < 0


def test_it_saturates_and_its_gradient_with_it():
    x = torch.tensor([[-5.0, -1.0, 1.0, 5.0]], requires_grad=True)
    said = ExpectedEncoder(2).spikes(x)
    assert said[0].tolist() == said[1].tolist() == [[-1.0, -0.5, 0.5, 1.0]]
    said[0].sum().backward()
    assert x.grad.tolist() == [[0.0, 0.5, 0.5, 0.0]]


def test_nothing_is_drawn_and_parts_are_those_of_the_whole():
    encoder, x = ExpectedEncoder(3, mean=0.5, std=0.5), torch.ones(2, 1, 2, 2)
    assert torch.equal(encoder(x, seed=1, draw=2), encoder(x))
    assert encoder(x, steps=range(1, 2)).shape == (1, 2, 1, 2, 2)
    assert "signed=True" in repr(encoder)


@each_row(
    "options, x, message",
    [
        ({}, torch.full((1, 2), float("nan")), "not finite"),
        ({"signed": False}, torch.full((1, 2), 1.5), "from 0 to 1, got 1.5 to 1.5"),
    ],
)
def test_what_rate_coding_does_not_take_is_refused(options, x, message):
    with pytest.raises(ValueError, match=message):
        ExpectedEncoder(1, **options).spikes(x)

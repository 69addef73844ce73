"""What every encoder shares: steps, indices, what is refused; and an encoder of somebody else's."""

import pytest
import torch

from bntt.models import mlp
from bntt.nn import DirectEncoder, Encoder, FrameEncoder, PoissonEncoder, SequenceEncoder, SpikingClassifier
from bntt.nn.call import index_of
from bntt.nn.encoders import check_values, steps_of
from tests.kernels import choose
from tests.rows import each_row

T = 6
ENCODERS = [PoissonEncoder, DirectEncoder, FrameEncoder, SequenceEncoder]
SHAPES = {FrameEncoder: (3, T, 2, 4, 4), SequenceEncoder: (3, T, 5)}


def samples(encoder, rng):
    return torch.rand(SHAPES.get(encoder, (3, 2, 4, 4)), generator=rng)


@each_row("encoder", ENCODERS)
def test_ours_are_encoders_and_give_the_steps_they_are_asked_for(encoder, rng):
    ours, x = encoder(T), samples(encoder, rng)
    assert isinstance(ours, Encoder)
    whole = ours(x, seed=3, index=torch.arange(3), draw=1)
    assert whole.shape == (T, 3, *((5,) if encoder is SequenceEncoder else (2, 4, 4)))
    parts = [ours(x, seed=3, index=torch.arange(3), draw=1, steps=range(a, b)) for a, b in ((0, 1), (1, 4), (4, 6))]
    assert torch.equal(torch.cat(parts), whole)


@each_row("encoder", ENCODERS)
@each_row("steps", [range(-1, 2), range(4, T + 1)])
def test_a_step_beyond_the_last(encoder, steps, rng):
    with pytest.raises(ValueError, match=r"has 6 time steps \(0-5\), got range"):
        encoder(T)(samples(encoder, rng), steps=steps)


@each_row("steps", [range(0), range(3, 3), range(0, 6, 2), range(5, -1, -1)])
def test_steps_follow_one_another(steps):
    with pytest.raises(ValueError, match="steps must be consecutive, one or more"):
        steps_of(steps, T)


@each_row("encoder", ENCODERS)
def test_an_encoder_has_a_step(encoder):
    with pytest.raises(ValueError, match="num_steps must be a whole number, 1 or more, got 0"):
        encoder(0)


@each_row(
    "bad, error, message",
    [
        (torch.full((1, 1, 2, 2), float("nan")), ValueError, "not finite, first in sample 0"),
        (torch.tensor([[0.0], [float("inf")]]), ValueError, "not finite, first in sample 1"),
        (torch.ones(1, 1, 2, 2, dtype=torch.uint8), TypeError, "floating point"),
        (torch.ones(0, 1, 2, 2), ValueError, "empty batch"),
        (torch.ones(1, 1, 2, 2, device="meta"), TypeError, "no values"),
    ],
)
def test_values_that_cannot_be_coded(bad, error, message):
    with pytest.raises(error, match=message):
        check_values(bad, "pixels")
    with pytest.raises(error, match=message):
        PoissonEncoder(T).spikes(bad)


@each_row("bad", [torch.arange(2), torch.zeros(3), torch.zeros(3, 1, dtype=torch.int64)])
def test_an_index_names_each_sample(bad):
    with pytest.raises(ValueError, match="index must name each of the 3 samples by an integer"):
        index_of(bad, 3)
    assert index_of(torch.arange(3, dtype=torch.uint8), 3).dtype == torch.int64


class Latency:
    """An encoder that is no module: a pixel fires once, the sooner the brighter it is."""

    num_steps = T

    def __init__(self):
        self.asked = []

    def __call__(self, x, *, seed=0, index=None, draw=0, steps=None, compact=False):
        self.asked.append((seed, draw, steps))
        first = ((1 - x) * self.num_steps).floor().clamp(max=self.num_steps - 1)
        return torch.stack([(first == t).to(x.dtype) for t in steps or range(self.num_steps)])


@each_row("backend", ["auto", "reference"])
def test_an_encoder_of_yours_composes(backend, rng):
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=T, seed=1)
    choose(net, backend=backend)
    model, images = SpikingClassifier(Latency(), net).eval(), torch.rand(5, 1, 4, 4, generator=rng)
    spikes = Latency()(images)
    logits = model(images, seed=3, draw=2)
    assert torch.equal(logits, net(spikes))
    assert model.encoder.asked == [(3, 2, range(6))]
    assert torch.allclose(model.trace(images).logits, net.trace(spikes).logits, atol=1e-6)
    some, state = model.advance(images, steps=4, seed=3)
    rest, _ = model.advance(images, state, steps=2)
    assert torch.allclose(torch.cat([some, rest]), net.trace(spikes).logits, atol=1e-6)
    assert model.encoder.asked[-2:] == [(3, 0, range(4)), (3, 0, range(4, 6))]

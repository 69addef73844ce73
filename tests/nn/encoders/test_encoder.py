"""What every encoder shares, a row each; what each one gives, by hand; and an encoder of somebody else's."""

import pytest
import torch

from bntt.models import mlp
from bntt.nn import (
    DirectEncoder,
    Encoder,
    ExpectedEncoder,
    FrameEncoder,
    NoisyEncoder,
    PoissonEncoder,
    SequenceEncoder,
    SpikingClassifier,
    expected,
)
from bntt.nn.call import index_of
from bntt.nn.encoders import check_values
from tests.kernels import choose
from tests.rows import each_row

T = 6
MEAN, STD = [0.5, 0.1], [0.25, 2.0]


class Latency:
    """An encoder that is no module: a pixel fires once, the sooner the brighter it is."""

    num_steps = T

    def __call__(self, x, *, seed=0, index=None, draw=0, steps=None, compact=False):
        first = ((1 - x) * self.num_steps).floor().clamp(max=self.num_steps - 1)
        return torch.stack([(first == t).to(x.dtype) for t in steps or range(self.num_steps)])


ENCODERS = {
    "Poisson": (PoissonEncoder(T, gradient=expected), (3, 2, 4, 4)),
    "direct": (DirectEncoder(T), (3, 2, 4, 4)),
    "direct, normalised": (DirectEncoder(T, mean=MEAN, std=STD), (3, 2, 4, 4)),
    "expected": (ExpectedEncoder(T, mean=MEAN, std=STD), (3, 2, 4, 4)),
    "noisy": (NoisyEncoder(PoissonEncoder(T, mean=MEAN, std=STD), 0.3), (3, 2, 4, 4)),
    "frames": (FrameEncoder(T), (3, T, 2, 4, 4)),
    "frames of features": (FrameEncoder(T), (3, T, 5)),
    "sequences": (SequenceEncoder(T), (3, T, 5)),
    "sequences, normalised": (SequenceEncoder(T, mean=MEAN, std=STD), (3, T, 2)),
    "one's own": (Latency(), (3, 1, 4, 4)),
}


@each_row("encoder, shape", ENCODERS.values())
def test_some_steps_are_those_of_the_whole(encoder, shape, rng):
    x = torch.rand(shape, generator=rng)
    assert isinstance(encoder, Encoder)
    whole = encoder(x, seed=3, index=torch.arange(3), draw=1)
    assert whole.shape[:2] == (T, 3)
    parts = [encoder(x, seed=3, index=torch.arange(3), draw=1, steps=range(a, b)) for a, b in ((0, 1), (1, 4), (4, 6))]
    assert torch.equal(torch.cat(parts), whole)


@each_row("backend", ["auto", "reference"])
@each_row("encoder, shape", ENCODERS.values())
def test_a_classifier_gives_its_network_what_the_encoder_gives(encoder, shape, backend, rng):
    """Whole, traced, in parts, and stopped early."""
    x, options = torch.rand(shape, generator=rng), {"seed": 3, "draw": 2}
    drive = encoder(x, **options)
    net = mlp(in_features=drive[0, 0].numel(), hidden=(8,), num_classes=3, num_steps=T, seed=1)
    choose(net, backend=backend)
    model = SpikingClassifier(encoder, net).eval()
    assert torch.allclose(model(x, **options), net(drive), atol=1e-6)
    assert torch.allclose(model(x, steps=2, **options), net(drive[:2], steps=2), atol=1e-6)
    assert torch.allclose(model.trace(x, **options).logits, net.trace(drive).logits, atol=1e-6)
    first, state = model.advance(x, steps=2, **options)
    rest, _ = model.advance(x, state, steps=4)
    assert torch.allclose(torch.cat([first, rest]), net.trace(drive).logits, atol=1e-6)


@each_row("encoder, shape", [row for name, row in ENCODERS.items() if name not in ("Poisson", "noisy", "one's own")])
def test_what_drives_a_step_by_hand_and_its_gradient(encoder, shape, rng):
    """Normalised by channel or feature; the same at every step, or the step's own; without a copy where it can be."""
    x = torch.rand(shape, generator=rng).requires_grad_()
    drive = encoder(x)
    towards = torch.rand(drive.shape, generator=rng)
    mean = getattr(encoder, "mean", None)
    plain = x if mean is None else (x - mean.to(x)) / encoder.std
    timed = isinstance(encoder, FrameEncoder | SequenceEncoder)
    steps = plain.transpose(0, 1) if timed else plain.expand(T, *shape)
    wanted = (steps / 2).clamp(-1, 1) if isinstance(encoder, ExpectedEncoder) else steps
    assert torch.allclose(drive, wanted)
    assert mean is not None or drive.data_ptr() == x.data_ptr()
    found, by_hand = (torch.autograd.grad((one * towards).sum(), x, retain_graph=True)[0] for one in (drive, wanted))
    assert torch.allclose(found, by_hand)


@each_row("signed", [True, False])
def test_the_expected_code_is_the_mean_of_many_spikes(signed, rng):
    images = torch.rand(2, 1, 3, 3, generator=rng)
    scales = {"mean": [0.4], "std": [0.2]} if signed else {}
    drawn = PoissonEncoder(4000, signed=signed, **scales)(images, seed=3)
    told = ExpectedEncoder(1, signed=signed, **scales)(images)[0]
    assert (drawn.mean(0) - told).abs().max() < 5 * 0.5 / 4000**0.5
    assert not signed or told.amin() < 0


def test_the_expected_code_saturates_and_its_gradient_with_it():
    x = torch.tensor([[-5.0, -1.0, 1.0, 5.0]], requires_grad=True)
    said = ExpectedEncoder(2).spikes(x)
    assert said[0].tolist() == said[1].tolist() == [[-1.0, -0.5, 0.5, 1.0]]
    said[0].sum().backward()
    assert x.grad.tolist() == [[0.0, 0.5, 0.5, 0.0]]


@each_row("form", [0.5, [0.5], torch.tensor([0.5]), [1]])
def test_mean_and_std_in_any_form(form, rng):
    images = torch.rand(5, 1, 4, 4, generator=rng).double()
    found = DirectEncoder(4, mean=form, std=form).double().normalized(images)
    assert found.dtype == torch.float64
    value = form if isinstance(form, float) else float(form[0])
    assert torch.allclose(found, (images - value) / value)
    assert torch.allclose(SequenceEncoder(T, mean=0.5, std=2.0)(torch.ones(3, T, 4)), torch.tensor(0.25))


def test_only_the_frames_asked_for_are_looked_at():
    """A stream of T steps would look at all of them T times."""
    frames = torch.zeros(3, T, 5)
    frames[1, 4] = torch.nan
    assert FrameEncoder(T)(frames, steps=range(4)).shape == (4, 3, 5)
    with pytest.raises(ValueError, match="sample 1"):
        FrameEncoder(T)(frames, steps=range(4, 5))
    assert FrameEncoder(T)(torch.ones(3, T, 5, dtype=torch.uint8), steps=range(2)).dtype == torch.float32


def test_one_bad_pixel_is_found_and_what_is_normalised_may_be_of_any_sign(rng):
    images = torch.rand(5, 1, 4, 4, generator=rng)
    assert DirectEncoder(1).normalized(images) is images
    check_values(images - 2, "pixels")
    images[3, 0, 2, 2] = float("nan")
    with pytest.raises(ValueError, match="sample 3"):
        DirectEncoder(1).normalized(images)
    assert index_of(torch.arange(3, dtype=torch.uint8), 3).dtype == torch.int64

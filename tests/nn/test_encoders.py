"""What every encoder shares, a row each; rate coding to the bit of its oracle; noise on images by its formula."""

import itertools

import pytest
import torch
from torch.autograd import forward_ad

from bntt.engine.cpu import library
from bntt.engine.private import being_transformed
from bntt.models import mlp
from bntt.nn.encoders import (
    DirectEncoder,
    Encoder,
    ExpectedEncoder,
    FrameEncoder,
    NoisyEncoder,
    PoissonEncoder,
    SequenceEncoder,
)
from bntt.nn.network.classifier import SpikingClassifier
from bntt.ops.poisson import expected, straight_through
from bntt.ops.random import Purpose, normal, sample_keys
from tests import reference
from tests.grids import every_value
from tests.kernels import choose, needs_kernels, variant
from tests.rows import each_row

T = 6
_ = variant
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


N = 64


@pytest.fixture
def values(rng):
    return torch.randn(N, 2, 5, 4, generator=rng)


@pytest.fixture
def spikes(values):
    return PoissonEncoder(T).spikes(values, seed=3, draw=2)


@each_row("batch", [1, 7, 64])
def test_batch_order_and_memory_layout_do_not_matter(values, spikes, batch, rng):
    encoder, index = PoissonEncoder(T), torch.arange(N)
    parts = zip(values.split(batch), index.split(batch), strict=True)
    assert torch.equal(torch.cat([encoder.spikes(x, seed=3, index=i, draw=2) for x, i in parts], 1), spikes)
    order = torch.randperm(N, generator=rng)
    assert torch.equal(encoder.spikes(values[order], seed=3, index=order, draw=2), spikes[:, order])
    layout = values.contiguous(memory_format=torch.channels_last)
    assert torch.equal(encoder.spikes(layout, seed=3, draw=2), spikes)


def test_spikes_are_the_oracles(values, spikes):
    """The paper's rule on independently computed uniforms."""
    for b, t, c, h, w in itertools.product((0, 5, 63), (0, 3, 5), range(2), range(5), range(4)):
        u = reference.uniform(3, int(Purpose.SPIKES), 2, b, t, (c * 5 + h) * 4 + w)
        assert spikes[t, b, c, h, w].item() == reference.signed_poisson(values[b, c, h, w].double().item(), u)


@each_row("change", [{"seed": 4}, {"draw": 3}])
def test_seed_and_draw_give_other_noise(values, spikes, change):
    other = PoissonEncoder(T).spikes(values, **{"seed": 3, "draw": 2, **change})
    assert 0.05 < (other != spikes).float().mean() < 0.95


@needs_kernels
@every_value(signed=[True, False], shape=[(5, 3, 4, 7), (1, 1, 1, 1), (3, 1, 28, 28)], variant=library.variants())
def test_the_compiled_spikes_are_the_same_to_the_bit(signed, shape, variant, rng):
    values = torch.rand(shape, generator=rng)
    if signed:
        values = (values - 0.5) * 5
        values[0, 0, 0, 0] = 0.0
    encoder, index = PoissonEncoder(T, signed=signed), torch.arange(shape[0]) * 1_000_003
    for threads in (1, 3):
        torch.set_num_threads(threads)
        options = {"seed": 2**62, "index": index, "draw": 2**32, "steps": range(1, T)}
        ours = encoder.spikes(values, compact=True, **options)
        assert (ours.shape, ours.dtype) == ((T - 1, *shape), torch.int8)
        assert torch.equal(ours.float(), encoder.spikes(values, **options))
    assert ours.permute(0, 1, 3, 4, 2).is_contiguous()


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")  # PyTorch's own
@needs_kernels
def test_bytes_only_where_the_kernels_draw_them(values):
    encoder = PoissonEncoder(T)
    assert encoder.spikes(values.double(), compact=True).dtype == torch.float64
    assert encoder.spikes(values.flatten(1), compact=True).dtype == torch.float32
    with forward_ad.dual_level():
        assert being_transformed()
        assert encoder.spikes(values, compact=True).dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")  # PyTorch's own
def test_images_that_ask_for_a_gradient_need_an_estimator(values):
    """A zero gradient would look like perfect robustness."""
    asking, encoder = values.clone().requires_grad_(), PoissonEncoder(T)
    with pytest.raises(ValueError, match="gradient"):
        encoder.spikes(asking)
    with torch.no_grad():
        assert not encoder.spikes(asking).requires_grad
    assert not encoder.spikes(asking.detach()).requires_grad
    with forward_ad.dual_level(), pytest.raises(ValueError, match="gradient"):
        encoder.spikes(forward_ad.make_dual(values, values))


@each_row("estimator", [straight_through, expected])
@each_row("signed", [True, False])
def test_a_gradient_is_the_sum_over_time_times_the_estimators_factor(estimator, signed, rng):
    images = torch.rand(3, 1, 4, 4, generator=rng).requires_grad_()
    scales = {"mean": [0.4], "std": [0.2]} if signed else {}
    encoder = PoissonEncoder(T, signed=signed, gradient=estimator, **scales)
    towards = torch.rand(T, 3, 1, 4, 4, generator=rng)
    spikes = encoder(images, seed=3, compact=True)
    assert torch.equal(spikes, PoissonEncoder(T, signed=signed, **scales)(images.detach(), seed=3))
    (spikes * towards).sum().backward()
    x = encoder.normalized(images.detach())
    inside = (x.abs() < 2) * 0.5 if signed else torch.ones_like(x)
    factor = torch.ones_like(x) if estimator is straight_through else inside
    assert torch.allclose(images.grad, towards.sum(0) * factor / (0.2 if signed else 1))
    assert images.grad.abs().max() > 0


INDEX = torch.tensor([7, 0, 41])


def noisy_images(rng, dtype=torch.float32):
    return torch.rand(3, 2, 5, 5, generator=rng, dtype=dtype)


def noise_of(seed=0, draw=2, index=INDEX):
    return normal(sample_keys(seed, Purpose.NOISE, draw, index), 2, 5, 5)


@each_row("clip", [True, False])
@each_row("where, unit", [("pixels", [1.0, 1.0]), ("normalized", STD)])
def test_the_formula(where, unit, clip, rng):
    x = noisy_images(rng, torch.float64)
    found = NoisyEncoder(DirectEncoder(T, mean=MEAN, std=STD), 0.4, where=where, clip=clip, seed=3)(
        x, index=INDEX, draw=2, seed=9
    )
    noisy = x + 0.4 * torch.tensor(unit).view(2, 1, 1) * noise_of(seed=3)
    assert (noisy < 0).any()
    assert (noisy > 1).any()
    wanted = (noisy.clamp(0, 1) if clip else noisy) - torch.tensor(MEAN).view(2, 1, 1)
    assert torch.allclose(found, (wanted / torch.tensor(STD).view(2, 1, 1)).expand_as(found), atol=1e-6)


@each_row("encoder", [PoissonEncoder(T, signed=False), PoissonEncoder(T, mean=MEAN, std=STD), DirectEncoder(T)])
def test_an_encoder_gets_the_noisy_pixels_and_its_own_randomness(encoder, rng):
    x = noisy_images(rng)
    noisy = (x + 0.4 * noise_of()).clamp(0, 1)
    found = NoisyEncoder(encoder, 0.4)(x, index=INDEX, draw=2, seed=9)
    assert torch.equal(found, encoder(noisy, index=INDEX, draw=2, seed=9))
    assert torch.equal(NoisyEncoder(DirectEncoder(T), 0.4, clip=False)(x, index=INDEX, draw=2)[3], x + 0.4 * noise_of())


@each_row("where", ["pixels", "normalized"])
@each_row("clip", [True, False])
@each_row("kind", [PoissonEncoder, DirectEncoder])
def test_no_noise_is_the_clean_result_to_the_bit(kind, clip, where, rng):
    x, encoder = noisy_images(rng), kind(T, mean=MEAN, std=STD)
    clean = encoder(x, seed=4, index=INDEX, draw=1)
    assert torch.equal(NoisyEncoder(encoder, 0, where=where, clip=clip)(x, seed=4, index=INDEX, draw=1), clean)


def test_gradients_pass_where_nothing_was_clipped(rng):
    x = noisy_images(rng).requires_grad_()
    NoisyEncoder(DirectEncoder(1, mean=MEAN, std=STD), 0.4)(x, index=INDEX, draw=2).sum().backward()
    noisy = x.detach() + 0.4 * noise_of()
    inside = ((noisy > 0) & (noisy < 1)).float()
    assert torch.allclose(x.grad, inside / torch.tensor(STD).view(2, 1, 1))
    coded = noisy_images(rng).requires_grad_()
    NoisyEncoder(PoissonEncoder(T, gradient=expected), 0.1)(coded, index=INDEX).sum().backward()
    assert coded.grad.abs().sum() > 0

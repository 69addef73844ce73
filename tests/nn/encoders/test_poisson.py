"""Rate coding as a module: independence of batching (promises N8 and N9), range checks, bytes, gradients."""

import itertools
import math

import pytest
import torch
from torch.autograd import forward_ad

import bntt
from bntt.engine.cpu import library
from bntt.engine.private import being_transformed
from bntt.nn import Noise, PoissonEncoder, expected, straight_through
from bntt.ops.random import Purpose
from tests import reference
from tests.grids import every_value
from tests.kernels import choose, needs_kernels, variant
from tests.rows import each_row

_ = variant
N, T = 64, 6


@pytest.fixture
def values(rng):
    return torch.randn(N, 2, 5, 4, generator=rng)


@pytest.fixture
def spikes(values):
    return PoissonEncoder(T).spikes(values, seed=3, draw=2)


def test_threads_do_not_matter(values):
    torch.set_num_threads(2)
    big = values.repeat(1, 1, 30, 30)
    expected = PoissonEncoder(T).spikes(big, seed=3, draw=2)
    torch.set_num_threads(1)
    assert torch.equal(PoissonEncoder(T).spikes(big, seed=3, draw=2), expected)


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


def test_noise_differs_between_steps_and_pixels():
    """Same pixel value everywhere: correlation between steps, samples and neighbours stays under 4 / sqrt(N)."""
    s = PoissonEncoder(50)(torch.ones(50, 1, 20, 20)) - 0.5
    for a, b in ((s[:-1], s[1:]), (s[:, :-1], s[:, 1:]), (s[..., :-1], s[..., 1:])):
        r = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert abs(r) < 4 / math.sqrt(a.numel())


def test_a_call_normalises_and_codes(rng):
    images = torch.rand(3, 2, 4, 4, generator=rng)
    encoder = PoissonEncoder(T, mean=[0.5, 0.4], std=[0.25, 0.2])
    by_hand = torch.stack([(images[:, 0] - 0.5) / 0.25, (images[:, 1] - 0.4) / 0.2], 1)
    assert torch.allclose(encoder.normalized(images), by_hand)
    assert torch.equal(encoder(images, seed=3), encoder.spikes(encoder.normalized(images), seed=3))
    assert set(encoder.state_dict()) == {"mean", "std"}


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


@needs_kernels
def test_a_classifier_gives_its_network_the_same_spikes_either_way(rng):
    net = bntt.models.vgg6(num_classes=3, in_channels=1, image_size=8, num_steps=T, width=0.3)
    model = bntt.SpikingClassifier(PoissonEncoder(T, mean=[0.3], std=[0.3]), net)
    images, seen = torch.rand(4, 1, 8, 8, generator=rng), []
    for backend in ("cpu", "reference"):
        choose(net, backend=backend)
        seen.append(model._encode(images, Noise(1, 5, torch.arange(4)), range(T)))
    assert (seen[0].dtype, seen[1].dtype) == (torch.int8, torch.float32)
    assert torch.equal(seen[0].float(), seen[1])


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


@each_row("signed", [True, False])
def test_the_expected_gradient_is_the_slope_of_the_mean_spike(signed):
    """A central difference of the rate over many steps, with the same numbers on either side."""
    levels = torch.tensor([-2.5, -1.5, -0.3, 0.4, 1.9, 2.3] if signed else [0.1, 0.5, 0.9]).view(1, 1, 1, -1)
    levels, h = levels.expand(400, 1, 10, -1), 0.05
    encoder = PoissonEncoder(100, signed=signed)
    up, down = ((encoder.spikes(levels + d).mean((0, 1, 2, 3))) for d in (h, -h))
    assert torch.allclose((up - down) / (2 * h), expected(levels, signed)[0, 0, 0], atol=0.02)

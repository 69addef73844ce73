"""Noise on images: the formula in both conventions, the same for everybody, nothing at σ = 0."""

import pytest
import torch

from bntt.nn import DirectEncoder, NoisyEncoder, PoissonEncoder, expected
from bntt.ops.random import Purpose, normal, sample_keys
from tests.rows import each_row

T, MEAN, STD = 6, [0.5, 0.3], [0.25, 0.1]
INDEX = torch.tensor([7, 0, 41])


def images(rng, dtype=torch.float32):
    return torch.rand(3, 2, 5, 5, generator=rng, dtype=dtype)


def noise_of(seed=0, draw=2, index=INDEX):
    return normal(sample_keys(seed, Purpose.NOISE, draw, index), 2, 5, 5)


@each_row("clip", [True, False])
@each_row("where, unit", [("pixels", [1.0, 1.0]), ("normalized", STD)])
def test_the_formula(where, unit, clip, rng):
    x = images(rng, torch.float64)
    found = NoisyEncoder(DirectEncoder(T, mean=MEAN, std=STD), 0.4, where=where, clip=clip, seed=3)(
        x, index=INDEX, draw=2, seed=9
    )
    noisy = x + 0.4 * torch.tensor(unit).view(2, 1, 1) * noise_of(seed=3)
    assert (noisy < 0).any()
    assert (noisy > 1).any()
    wanted = (noisy.clamp(0, 1) if clip else noisy) - torch.tensor(MEAN).view(2, 1, 1)
    assert torch.allclose(found, (wanted / torch.tensor(STD).view(2, 1, 1)).expand_as(found), atol=1e-6)


def test_unclipped_noise_after_the_normalisation_has_the_deviation_it_says(rng):
    x, encoder = torch.rand(200, 2, 8, 8, generator=rng), DirectEncoder(1, mean=MEAN, std=STD)
    added = NoisyEncoder(encoder, 0.7, where="normalized", clip=False)(x)[0] - encoder.normalized(x)
    for channel in added.unbind(1):
        assert channel.std().item() == pytest.approx(0.7, rel=0.02)
        assert channel.mean().item() == pytest.approx(0, abs=0.02)


@each_row("encoder", [PoissonEncoder(T, signed=False), PoissonEncoder(T, mean=MEAN, std=STD), DirectEncoder(T)])
def test_an_encoder_gets_the_noisy_pixels_and_its_own_randomness(encoder, rng):
    x = images(rng)
    noisy = (x + 0.4 * noise_of()).clamp(0, 1)
    found = NoisyEncoder(encoder, 0.4)(x, index=INDEX, draw=2, seed=9)
    assert torch.equal(found, encoder(noisy, index=INDEX, draw=2, seed=9))
    assert torch.equal(NoisyEncoder(DirectEncoder(T), 0.4, clip=False)(x, index=INDEX, draw=2)[3], x + 0.4 * noise_of())


@each_row("where", ["pixels", "normalized"])
@each_row("clip", [True, False])
@each_row("kind", [PoissonEncoder, DirectEncoder])
def test_no_noise_is_the_clean_result_to_the_bit(kind, clip, where, rng):
    x, encoder = images(rng), kind(T, mean=MEAN, std=STD)
    clean = encoder(x, seed=4, index=INDEX, draw=1)
    assert torch.equal(NoisyEncoder(encoder, 0, where=where, clip=clip)(x, seed=4, index=INDEX, draw=1), clean)


def test_a_sample_keeps_its_noise_in_any_batch_and_order(rng):
    x, noisy = images(rng), NoisyEncoder(DirectEncoder(1), 0.3, clip=False)
    together = noisy(x, index=INDEX, draw=5)[0]
    for i in range(3):
        assert torch.equal(noisy(x[i : i + 1], index=INDEX[i : i + 1], draw=5)[0, 0], together[i])
    turned = noisy(x.flip(0), index=INDEX.flip(0), draw=5)[0]
    assert torch.equal(turned.flip(0), together)


def test_seed_draw_and_index_name_the_noise_and_the_runs_seed_does_not(rng):
    x = images(rng)
    first = NoisyEncoder(DirectEncoder(1), 0.3, seed=1).normalized(x, index=INDEX, draw=0)
    assert not torch.equal(NoisyEncoder(DirectEncoder(1), 0.3, seed=2).normalized(x, index=INDEX, draw=0), first)
    assert not torch.equal(NoisyEncoder(DirectEncoder(1), 0.3, seed=1).normalized(x, index=INDEX, draw=1), first)
    assert not torch.equal(NoisyEncoder(DirectEncoder(1), 0.3, seed=1).normalized(x, index=INDEX + 1, draw=0), first)
    assert torch.equal(NoisyEncoder(DirectEncoder(1), 0.3, seed=1)(x, index=INDEX, seed=5)[0], first)
    one = NoisyEncoder(PoissonEncoder(T), 0.1, clip=False).normalized(x, index=INDEX)
    three = NoisyEncoder(DirectEncoder(3), 0.3, clip=False).normalized(x, index=INDEX)
    assert torch.allclose(3 * (one - x), three - x, atol=1e-6)


def test_gradients_pass_where_nothing_was_clipped(rng):
    x = images(rng).requires_grad_()
    NoisyEncoder(DirectEncoder(1, mean=MEAN, std=STD), 0.4)(x, index=INDEX, draw=2).sum().backward()
    noisy = x.detach() + 0.4 * noise_of()
    inside = ((noisy > 0) & (noisy < 1)).float()
    assert torch.allclose(x.grad, inside / torch.tensor(STD).view(2, 1, 1))
    coded = images(rng).requires_grad_()
    NoisyEncoder(PoissonEncoder(T, gradient=expected), 0.1)(coded, index=INDEX).sum().backward()
    assert coded.grad.abs().sum() > 0

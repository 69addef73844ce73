"""Counter-based uniforms: the same numbers as an independent integer implementation, and good ones."""

import math
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bntt.ops import random
from bntt.ops.random import Purpose, normal, permutation, sample_keys, step_keys, uniform
from tests import reference
from tests.rows import each_row


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 2**63 - 1),
    st.sampled_from(list(Purpose)),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    st.integers(0, 800),
    st.integers(0, 3000),
)
def test_numbers_are_splitmix64_at_the_counter(seed, purpose, draw, index, t, position):
    """Every number equals the one that plain Python integers give for (seed, purpose, draw, index, t, position)."""
    keys = step_keys(sample_keys(seed, purpose, draw, torch.tensor([index])), torch.tensor([t]))
    found = uniform(keys, position + 1)[0, 0, position].item()
    assert found == reference.uniform(seed, int(purpose), draw, index, t, position)


def test_splitmix64_is_the_published_generator():
    """First outputs for seed 1234567, as printed beside the published C code of SplitMix64."""
    golden = 0x9E3779B97F4A7C15
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [reference.splitmix64(1234567 + i * golden) for i in range(1, 6)] == expected


def test_positions_count_in_c_h_w_order():
    keys = sample_keys(0, Purpose.SPIKES, 0, torch.arange(2))
    assert torch.equal(uniform(keys, 3, 4, 5).flatten(1), uniform(keys, 60))


def test_uniforms_are_uniform():
    """Mean, variance and occupancy of a million numbers within four standard errors; multiples of 2**-24."""
    u = uniform(sample_keys(7, Purpose.SPIKES, 0, torch.arange(1000)), 1000).double().flatten()
    n = len(u)
    assert abs(u.mean() - 0.5) < 4 * math.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / n)
    counts = torch.histc(u, 64, 0, 1)
    chi2 = ((counts - n / 64) ** 2 / (n / 64)).sum()
    assert chi2 < 63 + 4 * math.sqrt(2 * 63)
    assert u.min() >= 0
    assert u.max() < 1
    assert torch.equal(u * 2**24, (u * 2**24).round())


@each_row("axis", ["seed", "purpose", "draw", "index", "t"])
def test_neighbouring_counters_are_uncorrelated(axis):
    """Neighbours along every coordinate correlate by less than 4 / sqrt(N)."""

    def numbers(k):
        c = {"seed": 3, "purpose": 1, "draw": 5, "index": 9, "t": 2}
        c[axis] += k
        keys = sample_keys(c["seed"], Purpose(c["purpose"]), c["draw"], torch.tensor([c["index"]]))
        return uniform(step_keys(keys, torch.tensor([c["t"]])), 40_000).double().flatten()

    a, b = numbers(0), numbers(1)
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 4 / math.sqrt(len(a))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 3000))
def test_normal_numbers_are_the_inverse_of_the_distribution(seed, draw, index, position):
    """As the standard library's other algorithm inverts it, at the middle of the uniform number's interval."""
    found = normal(sample_keys(seed, Purpose.NOISE, draw, torch.tensor([index])), position + 1)[0, position].item()
    key = seed
    for counter in (int(Purpose.NOISE), draw, index):
        key = reference.child(key, counter)
    uniform = (reference.child(key, position) >> 40) * 2.0**-24
    assert found == pytest.approx(NormalDist().inv_cdf(uniform + 2.0**-25), rel=1e-6, abs=1e-7)


def test_moments_of_all_normal_numbers(monkeypatch):
    """What the docstring says of the 2**24 equally likely ones."""
    levels = torch.arange(2**24, dtype=torch.float32) * 2.0**-24
    monkeypatch.setattr(random, "uniform", lambda keys, *shape: levels.expand(1, *shape))
    z = normal(torch.zeros(1, dtype=torch.int64), 2**24)[0].double()
    assert torch.equal(z, -z.flip(0))
    assert z.max().item() == pytest.approx(5.42, abs=0.001)
    assert z.square().mean().item() - 1 == pytest.approx(-8e-8, abs=1e-8)
    assert z.pow(4).mean().item() - 3 == pytest.approx(-5e-6, abs=5e-7)


def test_normal_numbers_are_normal():
    """Mean, variance, skew, kurtosis and the shares of the tails of four million, within four standard errors."""
    z = normal(sample_keys(7, Purpose.NOISE, 0, torch.arange(2000)), 2000).double().flatten()
    n = len(z)
    moments = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}  # E zᵏ, and the variance of zᵏ
    for k, (expected, variance) in moments.items():
        assert abs(z.pow(k).mean() - expected) < 4 * math.sqrt(variance / n), k
    for beyond in (0.5, 1.0, 2.0, 3.0, 4.0, 4.75):
        share = math.erfc(beyond / math.sqrt(2)) / 2
        for side in (z > beyond, z < -beyond):
            assert abs(side.double().mean() - share) < 4 * math.sqrt(share / n), beyond


def test_normal_numbers_depend_neither_on_the_batch_nor_on_its_order():
    index = torch.tensor([5, 2, 900])
    together = normal(sample_keys(3, Purpose.NOISE, 1, index), 2, 4, 4)
    for row, one in enumerate(index):
        assert torch.equal(normal(sample_keys(3, Purpose.NOISE, 1, one[None]), 2, 4, 4)[0], together[row])
    assert torch.equal(together.flatten(1), normal(sample_keys(3, Purpose.NOISE, 1, index), 32))


def test_noise_is_not_the_spikes_numbers():
    of = {
        purpose: uniform(sample_keys(0, purpose, 0, torch.arange(50)), 784).flatten()
        for purpose in (Purpose.SPIKES, Purpose.NOISE)
    }
    assert abs(torch.corrcoef(torch.stack(list(of.values())))[0, 1]) < 4 / math.sqrt(50 * 784)


def test_permutation_is_one_and_differs_by_draw():
    first, second = permutation(0, Purpose.ORDER, 0, 1000), permutation(0, Purpose.ORDER, 1, 1000)
    assert torch.equal(first.sort().values, torch.arange(1000))
    assert not torch.equal(first, second)
    assert torch.equal(first, permutation(0, Purpose.ORDER, 0, 1000))


@each_row("bad", [-1, 2**63, 0.5])
def test_seed_and_draw_out_of_range(bad, no_hook):
    with pytest.raises(ValueError, match=f"seed must be an integer .* got {bad}"):
        sample_keys(bad, Purpose.SPIKES, 0, torch.arange(1))
    with pytest.raises(ValueError, match=f"draw must be an integer .* got {bad}"):
        sample_keys(0, Purpose.SPIKES, bad, torch.arange(1))
    one = sample_keys(0, Purpose.SPIKES, torch.tensor(1), torch.arange(1))
    assert torch.equal(one, sample_keys(0, Purpose.SPIKES, 1, torch.arange(1)))

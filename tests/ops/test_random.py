"""Counter-based uniforms: the same numbers as an independent integer implementation, and good ones."""

import math
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_permutation_is_one_and_differs_by_draw():
    first, second = permutation(0, Purpose.ORDER, 0, 1000), permutation(0, Purpose.ORDER, 1, 1000)
    assert torch.equal(first.sort().values, torch.arange(1000))
    assert not torch.equal(first, second)
    assert torch.equal(first, permutation(0, Purpose.ORDER, 0, 1000))


@each_row("bad", [-1, 2**63, 0.5])
def test_what_names_no_number_is_refused(bad, no_hook):
    index = torch.arange(1)
    with pytest.raises(ValueError, match="seed"):
        sample_keys(bad, Purpose.SPIKES, 0, index)
    with pytest.raises(ValueError, match="draw"):
        sample_keys(0, Purpose.SPIKES, bad, index)
    for wrong in (index.float(), index > 0, index.to(torch.complex64)):
        with pytest.raises(ValueError, match="index"):
            sample_keys(0, Purpose.SPIKES, 0, wrong)
    assert torch.equal(sample_keys(0, Purpose.SPIKES, torch.tensor(1), index), sample_keys(0, Purpose.SPIKES, 1, index))

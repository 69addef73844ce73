"""Counter-based numbers are those of an independent integer implementation; codes and masks that are drawn of them."""

import math
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS, pair
from bntt.models import mlp
from bntt.nn import ExpectedEncoder, NoisyEncoder, PoissonEncoder, SpikingClassifier
from bntt.ops.dropout import dropout_mask
from bntt.ops.poisson import expectation, expected, signed_rate, unsigned_rate
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


DRAWS = 100_000


@pytest.fixture(scope="module")
def u():
    return uniform(sample_keys(11, Purpose.SPIKES, 0, torch.arange(100)), DRAWS // 100).flatten()


@each_row(
    "rate, level, p",
    [
        *((signed_rate, x / 4, min(1.0, abs(x) / 8)) for x in range(-10, 11)),
        *((unsigned_rate, x / 20, x / 20) for x in range(21)),
    ],
)
def test_rates_at_21_levels(rate, level, p, u):
    """sign(x) · min(1, |x|/2), or x, within four standard errors of 100,000 draws; at 0 never, from 2 on always."""
    spikes = rate(torch.full((DRAWS,), level), u)
    assert set(spikes.unique().tolist()) <= {0.0, math.copysign(1.0, level)}
    assert abs(spikes.abs().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / DRAWS) + 2**-23 * (0 < p < 1)


@each_row("signed", [True, False])
def test_the_estimator_is_the_derivative_of_the_expectation(signed):
    x = torch.tensor([-3.0, -1.5, 0.25, 1.5, 3.0] if signed else [0.25, 0.5, 0.75], requires_grad=True)
    expectation(x, signed).sum().backward()
    assert torch.equal(x.grad, expected(x.detach(), signed))


def mask(p: float = 0.3, shape=(8, 5, 5), layer: int = 0, seed: int = 0, draw: int = 0, index=range(400)):
    return dropout_mask(p, shape, layer, seed=seed, draw=draw, index=torch.tensor(list(index)))


def test_a_share_stays():
    found = mask()
    assert (found.shape, found.dtype) == ((400, 8, 5, 5), torch.bool)
    assert abs(float(found.float().mean()) - 0.7) < 0.005
    assert float(found.float().mean(0).std()) < 0.03
    assert mask(p=0.0).all()


def test_it_is_a_function_of_sample_layer_draw_and_seed():
    once = mask()
    assert torch.equal(once, mask())
    assert torch.equal(once[[7, 3]], mask(index=[7, 3]))
    for other in (mask(layer=1), mask(draw=1), mask(seed=1)):
        agree = float((once == other).float().mean())
        assert abs(agree - 0.58) < 0.01  # 0.7² + 0.3²: independent


TYPES = (torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64)
INDEX = torch.tensor([0, 1, 5, 127])
IMAGES = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
NAMED = {"seed": 1, "draw": 2}


def classifier(dropout=0.0):
    options = {"leak": 0.9, "threshold": 0.1, "dropout": dropout}
    net = mlp(in_features=16, hidden=(12,), num_classes=3, num_steps=3, seed=0, **options)
    return SpikingClassifier(PoissonEncoder(3, mean=[0.5], std=[0.25]), net)


CONSUMERS = {
    "keys": lambda index: sample_keys(1, Purpose.SPIKES, 2, index),
    "dropout mask": lambda index: dropout_mask(0.5, (8,), 0, index=index, **NAMED),
    "poisson": lambda index: PoissonEncoder(3)(IMAGES, index=index, **NAMED),
    "noisy": lambda index: NoisyEncoder(ExpectedEncoder(3), 0.5, seed=3)(IMAGES, index=index, **NAMED),
    "classifier with dropout": lambda index: classifier(dropout=0.5).train()(IMAGES, index=index, **NAMED),
    "advance": lambda index: classifier().eval().advance(IMAGES, steps=2, index=index, **NAMED)[0],
    "trace": lambda index: classifier().trace(IMAGES, index=index, **NAMED).logits,
    **{name: lambda index, of=of: of(IMAGES, index=index, **NAMED) for name, of in AUGMENTATIONS.items()},
    **{
        f"events {name}": lambda index, of=of: of(IMAGES.unsqueeze(1), index=index, **NAMED)
        for name, of in EVENT_AUGMENTATIONS.items()
    },
    "mix": lambda index: pair(count=10, alpha=1.0, index=index, **NAMED).partner,
}


@each_row("dtype", TYPES)
@each_row("consumer", CONSUMERS.values())
def test_the_type_of_an_index_changes_nothing(consumer, dtype):
    assert torch.equal(consumer(INDEX.to(dtype)), consumer(INDEX))
    assert any(not torch.equal(consumer(INDEX + k), consumer(INDEX)) for k in range(1, 9)), "it depends on the index"


@each_row("dtype", TYPES[:4])
def test_a_state_may_be_named_again_in_another_type(dtype):
    model = classifier().eval()
    _, state = model.advance(IMAGES, steps=1, index=INDEX.to(dtype), **NAMED)
    assert state.noise.index.dtype == torch.int64
    model.advance(IMAGES, state, steps=1, index=INDEX)

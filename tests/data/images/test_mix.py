"""Mixup and cutmix: pairs from counters alone, shares of Beta(α, α), and images and labels as loops say."""

import math
from functools import cache

import numpy as np
import pytest
import torch

from bntt.data.augment import MIXES, Pairs, cutmix, mixup, pair, soft_labels
from tests import reference
from tests.rows import each_row

N = 20_000
ALPHAS = [0.1, 1.0, 8.0]


@cache
def many(alpha):
    """N pairs, made once for all that is asked of them."""
    return pairs_of(torch.arange(N), alpha, count=7)


def pairs_of(index, alpha=1.0, count=1000, seed=3, draw=2):
    return pair(seed=seed, draw=draw, index=index, count=count, alpha=alpha)


def key(seed, draw, index, *counters):
    found = seed
    for counter in (10, draw, index, *counters):
        found = reference.child(found, counter)
    return found


@each_row("alpha", [0.2, 1.0])
def test_pairs_are_those_of_the_counters(alpha):
    """The oracle's integers, and the polar form of a symmetric Beta as Devroye (1996) prints it."""
    index = torch.tensor([0, 5, 59_999, 2**40])
    found = pairs_of(index, alpha)
    for i, place in enumerate(index.tolist()):
        assert found.partner[i] == (key(3, 2, place, 0) & (2**63 - 1)) % 1000
        u, v, down, right = ((key(3, 2, place, 1, position) >> 40) / 2**24 for position in range(4))
        u, v = u + 2**-25, v + 2**-25
        cosine = math.cos(2 * math.pi * v)
        share = 0.5 + math.copysign(0.5, cosine) / math.sqrt(1 + 1 / ((u ** (-1 / alpha) - 1) * cosine**2))
        assert found.share[i].item() == pytest.approx(share, abs=2**-24)
        assert found.place[i].tolist() == [down, right]


@each_row("alpha", ALPHAS)
def test_shares_are_distributed_as_numpys(alpha):
    """Kolmogorov and Smirnov's distance of two samples, with a chance of 1 in 10⁵ to be larger."""
    ours = np.sort(many(alpha).share.numpy())
    theirs = np.sort(np.round(np.random.default_rng(0).beta(alpha, alpha, N) * 2**24) / 2**24)
    at = np.concatenate([ours, theirs])
    distance = np.abs(np.searchsorted(ours, at, "right") - np.searchsorted(theirs, at, "right")).max() / N
    assert distance < math.sqrt(-math.log(0.5e-5) / N)


def test_a_small_alpha_keeps_one_of_both_and_a_large_one_half():
    for alpha in (5e-324, 1e-3):
        share = pairs_of(torch.arange(1000), alpha).share
        assert ((share < 1e-6) | (share > 1 - 1e-6)).float().mean() > 0.95
        assert 400 < (share > 0.5).sum() < 600
    for alpha in (1e9, 1.7e308):
        assert (pairs_of(torch.arange(1000), alpha).share - 0.5).abs().max() < 1e-4


def test_partners_are_uniform_and_independent_of_the_rest():
    found = many(1.0)
    counts = found.partner.bincount(minlength=7)
    assert len(counts) == 7
    assert ((counts - N / 7) ** 2 / (N / 7)).sum() < 6 + 5 * math.sqrt(12)
    table = torch.stack([found.partner.double(), found.share.double(), *found.place.double().unbind(1)])
    assert (torch.corrcoef(table) - torch.eye(4)).abs().max() < 5 / math.sqrt(N)


def test_pairs_follow_the_sample_not_the_batch():
    whole = pairs_of(torch.arange(100), 0.2)
    parts = [pairs_of(index, 0.2) for index in torch.arange(100).flip(0).split(7)]
    for field in ("partner", "share", "place"):
        assert torch.equal(torch.cat([getattr(part, field) for part in parts]).flip(0), getattr(whole, field))
        for other in (pairs_of(torch.arange(100), 0.2, draw=3), pairs_of(torch.arange(100), 0.2, seed=4)):
            assert not torch.equal(getattr(other, field), getattr(whole, field))


def two(rng, shape=(2, 6, 5), count=50):
    first, second = (torch.randint(0, 256, (count, *shape), generator=rng).float() / 255 for _ in range(2))
    return first, second, pairs_of(torch.arange(count), 0.7)


def test_mixup_is_the_weighted_sum_and_white_with_white_is_white(rng):
    """To the bit: an encoder refuses pixels above 1."""
    first, second, pairs = two(rng)
    found, kept = mixup(first, second, pairs)
    for i in range(len(first)):
        share = np.float32(pairs.share[i])
        expected = share * first[i].numpy() + (1 - share) * second[i].numpy()
        np.testing.assert_allclose(found[i].numpy(), expected, rtol=0, atol=1e-7)
    assert torch.equal(kept, pairs.share)
    white = torch.ones(N, 1, 1, 1)
    assert (mixup(white, white, many(0.1))[0] == 1).all()


@each_row("shape", [(2, 8, 8), (1, 6, 11), (3, 1, 1)])
def test_cutmix_is_a_box_of_the_second(shape, rng):
    """Yun et al. 2019, Eq. 2 and the released ``rand_bbox``, written out; the share is counted."""
    first, second, pairs = two(rng, shape)
    found, kept = cutmix(first, second, pairs)
    channels, height, width = shape
    cut_off = 0
    for i in range(len(first)):
        expected, stayed = first[i].numpy().copy(), 0
        cut = math.sqrt(1 - pairs.share[i].item())
        tall, wide = int(height * cut), int(width * cut)
        row, column = (int(p * n) for p, n in zip(pairs.place[i].tolist(), (height, width), strict=True))
        for y in range(height):
            for x in range(width):
                if row - tall // 2 <= y < row + tall // 2 and column - wide // 2 <= x < column + wide // 2:
                    for channel in range(channels):
                        expected[channel, y, x] = second[i, channel, y, x]
                else:
                    stayed += 1
        np.testing.assert_array_equal(found[i].numpy(), expected)
        assert kept[i].item() == np.float32(stayed / (height * width))
        cut_off += height * width - stayed < 4 * (tall // 2) * (wide // 2)
    assert height == 1 or 5 < cut_off < 50, "some boxes are cut off, some are whole"


def test_all_or_nothing_stays():
    first, second = torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    pairs = Pairs(torch.zeros(2, dtype=torch.int64), torch.tensor([1.0, 0.0]), torch.full((2, 2), 0.5))
    for mix in MIXES.values():
        images, kept = mix(first, second, pairs)
        assert images.flatten(1).unique(dim=1).tolist() == [[0], [1]]
        assert kept.tolist() == [1, 0]


def test_soft_labels_are_shares_that_sum_to_one(rng):
    first, second = (torch.randint(0, 5, (N,), generator=rng) for _ in range(2))
    kept = many(1.0).share / 3  # any float32, not only multiples of 2⁻²⁴
    found = soft_labels(first, second, kept, 5)
    assert found.dtype == torch.float32
    assert torch.equal(found.sum(1), torch.ones(N))
    for i in range(200):
        expected = np.zeros(5, np.float32)
        expected[first[i]] += np.float32(kept[i])
        expected[second[i]] += np.float32(1) - np.float32(kept[i])
        np.testing.assert_array_equal(found[i].numpy(), expected)

"""Random changes and mixtures of images and recordings: as loops say, independent of batching."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomErasing

from bntt.data import FrameSet, SampleLoader
from bntt.data.augment import (
    AUGMENTATIONS,
    EVENT_AUGMENTATIONS,
    MIXES,
    Pairs,
    cutmix,
    cutout,
    inside,
    mixup,
    pair,
    random_crop,
    random_erasing,
    random_flip,
    soft_labels,
)
from tests import reference
from tests.rows import each_row

N = 200


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (N, 2, 6, 5), generator=generator, dtype=torch.uint8)


def test_a_crop_is_a_window_of_the_padded_image():
    images, index = batch(), torch.arange(N)
    padded = torch.nn.functional.pad(images, [4] * 4)
    windows = padded.unfold(2, 6, 1).unfold(3, 5, 1)  # [N, C, 9, 9, 6, 5]
    crops = random_crop(images, seed=0, draw=0, index=index)
    fits = (windows == crops[:, :, None, None]).flatten(4).all(4).all(1).flatten(1)
    assert fits.any(1).all()
    assert len(fits.int().argmax(1).unique()) > 60, "almost all 81 offsets appear among 200 images"


def test_about_half_are_mirrored():
    images = batch()
    flips = random_flip(images, seed=0, draw=0, index=torch.arange(N))
    mirrored = (flips == images.flip(3)).flatten(1).all(1)
    kept = (flips == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 70 < mirrored.sum() < 130


def test_pixels_inside_are_those_that_a_loop_finds(rng):
    first = torch.randint(-4, 8, (40, 2), generator=rng)
    past = first + torch.randint(0, 7, (40, 2), generator=rng)
    found = inside(first, past, (6, 5)).numpy()
    expected = np.zeros((40, 1, 6, 5), dtype=bool)
    for image, ((top, left), (bottom, right)) in enumerate(zip(first.tolist(), past.tolist(), strict=True)):
        for row in range(max(top, 0), min(bottom, 6)):
            for column in range(max(left, 0), min(right, 5)):
                expected[image, 0, row, column] = True
    assert np.array_equal(found, expected)
    assert expected.any()


def number(seed, purpose, draw, index, *counters):
    """One uniform of an image, by the oracle's integers."""
    key = seed
    for counter in (purpose, draw, index, *counters):
        key = reference.child(key, counter)
    return (key >> 40) / 2**24


@each_row("shape", [(3, 8, 8), (1, 9, 6), (2, 4, 11)])
def test_cutout_is_a_square_of_the_images_own_mean(shape, rng):
    """DeVries & Taylor 2017, written out: a centre among all pixels, half the shorter side, cut off at the border."""
    channels, height, width = shape
    images = torch.randint(0, 256, (60, *shape), generator=rng).float() / 255
    found = cutout(images, seed=3, draw=2, index=torch.arange(60) * 7)
    side, cut_off = min(height, width) // 2, 0
    for i in range(60):
        top = int(number(3, 8, 2, i * 7, 0) * height) - side // 2
        left = int(number(3, 8, 2, i * 7, 1) * width) - side // 2
        expected, pixels = images[i].numpy().copy(), 0
        for row in range(top, top + side):
            for column in range(left, left + side):
                if 0 <= row < height and 0 <= column < width:
                    pixels += 1
                    for channel in range(channels):
                        expected[channel, row, column] = np.float32(images[i, channel].double().mean())
        np.testing.assert_array_equal(found[i].numpy(), expected)
        cut_off += pixels < side * side
    assert 5 < cut_off < 55, "some squares are cut off, some are whole"


def rectangle(index, height, width, seed=5, draw=1):
    """Top, left, height, width; None for an image that stays (Zhong et al. 2020, with sides cut to the image's)."""
    chance, share, shape, down, right = (number(seed, 9, draw, index, 0, position) for position in range(5))
    if chance >= 0.5:
        return None
    area = height * width * (0.02 + 0.31 * share)
    aspect = math.exp(math.log(0.3) + shape * (math.log(3.3) - math.log(0.3)))
    tall, wide = (
        min(round(math.sqrt(area * aspect)), height),
        min(round(math.sqrt(area / aspect)), width),
    )
    return int(down * (height - tall + 1)), int(right * (width - wide + 1)), tall, wide


@each_row("shape", [(3, 12, 12), (1, 5, 20)])
def test_erasing_is_a_rectangle_of_random_pixels(shape):
    channels, height, width = shape
    images = torch.full((80, *shape), 2.0)
    found = random_erasing(images, seed=5, draw=1, index=torch.arange(80))
    whole = 0
    for i in range(80):
        expected, box = np.full(shape, 2.0, np.float32), rectangle(i, height, width)
        if box is not None:
            top, left, tall, wide = box
            for channel in range(channels):
                for row in range(top, top + tall):
                    for column in range(left, left + wide):
                        position = (channel * height + row) * width + column
                        expected[channel, row, column] = number(5, 9, 1, i, 1, position)
        whole += box is None
        np.testing.assert_array_equal(found[i].numpy(), expected)
    assert 20 < whole < 60


def test_rectangles_that_fit_are_torchvisions(monkeypatch):
    """``RandomErasing``'s own code, given the numbers of here instead of torch's, finds the same rectangles."""
    given = []
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, low, high: self.fill_(low + given.pop(0) * (high - low)))
    monkeypatch.setattr(torch, "randint", lambda low, high, size: torch.tensor([int(given.pop(0) * high)]))
    image, compared = torch.full((1, 1, 32, 32), 2.0), 0
    for index in range(600):
        box = rectangle(index, 32, 32)
        if box is None or max(box[2:]) >= 32:
            continue
        given[:] = [number(5, 9, 1, index, 0, position) for position in range(1, 5)]
        top, left, tall, wide, _ = RandomErasing.get_params(image[0], (0.02, 0.33), (0.3, 3.3), [0.0])
        assert (top, left, tall, wide) == box
        changed = random_erasing(image, seed=5, draw=1, index=torch.tensor([index]))[0, 0] < 1
        assert changed[top : top + tall, left : left + wide].all()
        assert changed.sum() == tall * wide
        compared += 1
    assert compared > 250


def test_the_same_for_any_batching():
    images, index = batch().float() / 255, torch.arange(N)
    for change in AUGMENTATIONS.values():
        whole = change(images, seed=1, draw=2, index=index)
        parts = [change(x, seed=1, draw=2, index=i) for x, i in zip(images.split(7), index.split(7), strict=True)]
        assert torch.equal(torch.cat(parts), whole)
        backwards = change(images.flip(0), seed=1, draw=2, index=index.flip(0))
        assert torch.equal(backwards.flip(0), whole)
        assert not torch.equal(change(images, seed=1, draw=3, index=index), whole)
        assert not torch.equal(change(images, seed=2, draw=2, index=index), whole)


def test_a_mean_colour_does_not_depend_on_how_an_image_lies_in_memory():
    images = torch.nn.functional.interpolate(batch()[:9].float() / 255, size=(97, 101))
    index = torch.arange(9)
    whole = cutout(images, seed=0, draw=0, index=index)
    for form in (images.to(memory_format=torch.channels_last), images.transpose(2, 3).contiguous().transpose(2, 3)):
        assert torch.equal(cutout(form, seed=0, draw=0, index=index), whole)


MANY = 20_000
ALPHAS = [0.1, 1.0, 8.0]


@cache
def many(alpha):
    """N pairs, made once for all that is asked of them."""
    return pairs_of(torch.arange(MANY), alpha, count=7)


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
    theirs = np.sort(np.round(np.random.default_rng(0).beta(alpha, alpha, MANY) * 2**24) / 2**24)
    at = np.concatenate([ours, theirs])
    distance = np.abs(np.searchsorted(ours, at, "right") - np.searchsorted(theirs, at, "right")).max() / MANY
    assert distance < math.sqrt(-math.log(0.5e-5) / MANY)


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
    assert ((counts - MANY / 7) ** 2 / (MANY / 7)).sum() < 6 + 5 * math.sqrt(12)
    table = torch.stack([found.partner.double(), found.share.double(), *found.place.double().unbind(1)])
    assert (torch.corrcoef(table) - torch.eye(4)).abs().max() < 5 / math.sqrt(MANY)


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
    white = torch.ones(MANY, 1, 1, 1)
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
    first, second = (torch.randint(0, 5, (MANY,), generator=rng) for _ in range(2))
    kept = many(1.0).share / 3  # any float32, not only multiples of 2⁻²⁴
    found = soft_labels(first, second, kept, 5)
    assert found.dtype == torch.float32
    assert torch.equal(found.sum(1), torch.ones(MANY))
    for i in range(200):
        expected = np.zeros(5, np.float32)
        expected[first[i]] += np.float32(kept[i])
        expected[second[i]] += np.float32(1) - np.float32(kept[i])
        np.testing.assert_array_equal(found[i].numpy(), expected)


INDEX = torch.arange(40)
DRAW = {"seed": 3, "draw": 1}


@pytest.fixture
def frames(rng):
    """Counts far from the border, so that no shift of up to 4 loses one."""
    frames = torch.zeros(40, 3, 2, 20, 22, dtype=torch.uint8)
    frames[..., 6:14, 5:16] = torch.randint(0, 9, (40, 3, 2, 8, 11), generator=rng, dtype=torch.uint8)
    return frames


@each_row("kind", [torch.uint8, torch.float32])
@each_row("change", EVENT_AUGMENTATIONS.values())
def test_counts_are_kept_step_by_step_and_follow_recording_and_draw_not_the_batch(change, kind, frames):
    frames = frames.to(kind)
    changed = change(frames, index=INDEX, **DRAW)
    assert (changed.dtype, changed.shape) == (kind, frames.shape)
    before, after = (f.long().flatten(3).sort(3).values for f in (frames, changed))
    assert torch.equal(before, after), "each step and polarity has the same counts, elsewhere"
    assert not torch.equal(changed, frames)
    assert torch.equal(change(frames[[7, 2]], index=torch.tensor([7, 2]), **DRAW), changed[[7, 2]])
    assert not torch.equal(changed, change(frames, seed=3, draw=2, index=INDEX))


def test_a_flip_mirrors_a_recordings_columns_or_not(frames):
    flipped = random_flip(frames, index=INDEX, **DRAW)
    heads = [torch.equal(a, b.flip(3)) for a, b in zip(flipped, frames, strict=True)]
    stays = [torch.equal(a, b) for a, b in zip(flipped, frames, strict=True)]
    assert all(h != s for h, s in zip(heads, stays, strict=True))
    assert 10 < sum(heads) < 30
    assert torch.equal(flipped[:, 0], random_flip(frames[:, 0], index=INDEX, **DRAW)), "as images are"


def test_a_shift_moves_all_frames_of_a_recording_alike(frames):
    shifted = random_crop(frames, index=INDEX, **DRAW)
    moves = []
    for before, after in zip(frames, shifted, strict=True):
        offsets = {
            tuple((a.nonzero().amin(0) - b.nonzero().amin(0)).tolist())
            for a, b in zip(after.flatten(0, 1), before.flatten(0, 1), strict=True)
        }
        assert len(offsets) == 1, "every step and polarity moved by the same rows and columns"
        moves.append(offsets.pop())
    assert all(-4 <= move <= 4 for pair in moves for move in pair)
    assert {-4, 4} <= {rows for rows, _ in moves}
    assert {-4, 4} <= {columns for _, columns in moves}
    lost = random_crop(torch.ones(8, 1, 1, 3, 3), seed=0, draw=0, index=torch.arange(8), padding=1)
    assert sorted(set(lost.flatten(1).sum(1).tolist())) == [4, 6, 9], "what leaves the frame is lost"


def test_the_loader_changes_frames(frames):
    data = FrameSet(frames, INDEX % 2, ("left", "right"), scale=0.5)
    (batch,) = SampleLoader(data, 40, augment=["flip", "shift"], seed=3).epoch(1)
    flipped = random_flip(frames.float(), index=INDEX, **DRAW)
    assert torch.equal(batch.inputs, random_crop(flipped, index=INDEX, **DRAW) / 2)

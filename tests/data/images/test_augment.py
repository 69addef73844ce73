"""Crop, flip, cutout and erasing: each image its own change, independent of batching, as loops over pixels say."""

import math

import numpy as np
import torch
from torchvision.transforms import RandomErasing

from bntt.data.augment import AUGMENTATIONS, cutout, inside, random_crop, random_erasing, random_flip
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

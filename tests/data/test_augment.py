"""Crop and flip: one offset an image, independent of batching."""

import torch

from bntt.data.augment import random_crop, random_flip

N = 200


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (N, 2, 6, 5), generator=generator, dtype=torch.uint8)


def test_a_crop_is_a_window_of_the_padded_image():
    images, index = batch(), torch.arange(N)
    padded = torch.nn.functional.pad(images, [4] * 4)
    crops = random_crop(images, seed=0, draw=0, index=index)
    offsets = set()
    for i in range(N):
        fits = [
            (dy, dx)
            for dy in range(9)
            for dx in range(9)
            if torch.equal(padded[i, :, dy : dy + 6, dx : dx + 5], crops[i])
        ]
        assert fits, i
        offsets.add(fits[0])
    assert len(offsets) > 60, "almost all 81 offsets appear among 200 images"


def test_about_half_are_mirrored():
    images = batch()
    flips = random_flip(images, seed=0, draw=0, index=torch.arange(N))
    mirrored = (flips == images.flip(3)).flatten(1).all(1)
    kept = (flips == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 70 < mirrored.sum() < 130


def test_the_same_for_any_batching():
    images, index = batch(), torch.arange(N)
    for change in (random_crop, random_flip):
        whole = change(images, seed=1, draw=2, index=index)
        parts = [change(x, seed=1, draw=2, index=i) for x, i in zip(images.split(7), index.split(7), strict=True)]
        assert torch.equal(torch.cat(parts), whole)
        assert not torch.equal(change(images, seed=1, draw=3, index=index), whole)

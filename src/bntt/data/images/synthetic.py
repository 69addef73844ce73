"""An artificial set that can be learned: every class is a smooth pattern, every image is its pattern plus noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bntt.data.samples import DATASETS, Dataset, ImageSet, Splits
from bntt.ops.random import Purpose, sample_keys, uniform


def synthetic(
    *, channels: int = 3, image_size: int = 32, num_classes: int = 10, train: int = 2000, test: int = 500, seed: int = 0
) -> Splits:
    """Return generated square images of any size, which need no file: for trying out a network, and for tests.

    Args:
        channels, image_size: C, and H = W.
        num_classes: K.
        train, test: numbers of images.
        seed: seed of the random images.

    >>> data = synthetic(image_size=8, train=20, test=10)
    >>> data.train.images.shape, data.test.counts()
    (torch.Size([20, 3, 8, 8]), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    """
    keys = sample_keys(seed, Purpose.SYNTHETIC, 0, torch.arange(num_classes))
    coarse = uniform(keys, channels, 4, 4)
    patterns = F.interpolate(coarse, size=(image_size, image_size), mode="bilinear")
    classes = tuple(f"pattern {label}" for label in range(num_classes))
    parts = []
    for draw, count in ((1, train), (2, test)):
        labels = torch.arange(count) % num_classes
        noise = uniform(
            sample_keys(seed, Purpose.SYNTHETIC, draw, torch.arange(count)), channels, image_size, image_size
        )
        pixels = 0.5 * patterns[labels] + 0.5 * noise
        parts.append(ImageSet((pixels * 255).to(torch.uint8), labels, classes))
    return Splits(*parts)


DATASETS.add(
    "synthetic",
    Dataset("images", "none needed", classes=10, shape=(3, 32, 32), samples=(2000, 500), make=synthetic),
)

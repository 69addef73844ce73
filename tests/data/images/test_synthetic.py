"""The made set: its shape, its repeatability, and that it can be learned."""

import torch

from bntt.data import synthetic


def test_shapes_and_repeatability():
    first, again = (
        synthetic(channels=2, image_size=8, num_classes=3, train=12, test=6),
        synthetic(channels=2, image_size=8, num_classes=3, train=12, test=6),
    )
    assert first.train.images.shape == (12, 2, 8, 8)
    assert torch.equal(first.train.images, again.train.images)
    assert not torch.equal(
        first.train.images, synthetic(channels=2, image_size=8, train=12, test=6, seed=1).train.images
    )


def test_the_nearest_class_mean_of_training_classifies_the_test_part():
    train, test = synthetic(image_size=16, train=200, test=100)
    means = torch.stack([train.images[train.labels == k].float().mean(0).flatten() for k in range(10)])
    guesses = torch.cdist(test.images.float().flatten(1), means).argmin(1)
    assert (guesses == test.labels).float().mean() > 0.95

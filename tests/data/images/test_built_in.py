"""The images inside the wheel are real, balanced, disjoint, and have their licence; the made set can be learned."""

from importlib.resources import files

import numpy as np
import pytest
import torch

from bntt.data import fashion_mnist_bundled, synthetic
from tests.fakes import real
from tests.golden.make_fashion_mnist import bundle


def test_the_bundled_images():
    train, test = fashion_mnist_bundled()
    assert (train.counts(), test.counts()) == ([500] * 10, [100] * 10)
    mean, std = train.pixel_statistics()
    assert mean[0] == pytest.approx(0.286, abs=0.005), "published mean of the whole set: .2860"
    assert std[0] == pytest.approx(0.353, abs=0.005), "published standard deviation: .3530"
    seen = {image.tobytes() for image in train.images.numpy()}
    assert not any(image.tobytes() in seen for image in test.images.numpy())
    notice = files("bntt.data").joinpath("fashion_mnist_NOTICE.txt").read_text(encoding="utf-8")
    assert "MIT License" in notice
    assert "Zalando SE" in notice


@pytest.mark.data
def test_the_bundle_is_what_the_published_files_give():
    folder = real("fashion-mnist")
    with files("bntt.data").joinpath("fashion_mnist.npz").open("rb") as file, np.load(file) as npz:
        for name, array in bundle(folder).items():
            assert np.array_equal(npz[name], array), name


def test_the_made_set_repeats_and_the_nearest_class_mean_of_training_classifies_its_test_part():
    train, test = synthetic(image_size=16, train=200, test=100)
    means = torch.stack([train.images[train.labels == k].float().mean(0).flatten() for k in range(10)])
    guesses = torch.cdist(test.images.float().flatten(1), means).argmin(1)
    assert (guesses == test.labels).float().mean() > 0.95
    small = {"channels": 2, "image_size": 8, "num_classes": 3, "train": 12, "test": 6}
    first, again, other = synthetic(**small), synthetic(**small), synthetic(**small, seed=1)
    assert first.train.images.shape == (12, 2, 8, 8)
    assert torch.equal(first.train.images, again.train.images)
    assert not torch.equal(first.train.images, other.train.images)

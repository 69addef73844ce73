"""The images inside the wheel are real, balanced, disjoint, and come with their licence."""

import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from bntt.data import fashion_mnist_bundled
from tests.golden.make_fashion_mnist import bundle


def test_counts_and_statistics():
    train, test = fashion_mnist_bundled()
    assert train.counts() == [500] * 10
    assert test.counts() == [100] * 10
    mean, std = train.pixel_statistics()
    assert mean[0] == pytest.approx(0.286, abs=0.005), "published mean of the whole set: .2860"
    assert std[0] == pytest.approx(0.353, abs=0.005), "published standard deviation: .3530"


def test_no_test_image_is_a_training_image():
    train, test = fashion_mnist_bundled()
    seen = {image.tobytes() for image in train.images.numpy()}
    assert not any(image.tobytes() in seen for image in test.images.numpy())


def test_the_licence_travels_with_the_images():
    notice = files("bntt.data").joinpath("fashion_mnist_NOTICE.txt").read_text(encoding="utf-8")
    assert "MIT License" in notice
    assert "Zalando SE" in notice


@pytest.mark.data
def test_the_bundle_is_what_the_published_files_give():
    folder = Path(os.environ.get("BNTT_TEST_DATA", "/nonexistent")) / "fashion-mnist"
    if not folder.is_dir():
        pytest.skip("BNTT_TEST_DATA names no folder with fashion-mnist/")
    with files("bntt.data").joinpath("fashion_mnist.npz").open("rb") as file, np.load(file) as npz:
        for name, array in bundle(folder).items():
            assert np.array_equal(npz[name], array), name

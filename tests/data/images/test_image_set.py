"""Image sets: what is refused, statistics, batches."""

import pytest
import torch

from bntt.data import ImageSet
from tests.rows import each_row


def images(count, classes=3):
    pixels = torch.arange(count * 8, dtype=torch.uint8).reshape(count, 2, 2, 2)
    return ImageSet(pixels, torch.arange(count) % classes, tuple("abc"[:classes]))


@each_row("label", [-100, -1, 3, 255])
def test_labels_outside_the_classes_are_refused(label):
    labels = torch.tensor([0, 1, label, 2])
    with pytest.raises(ValueError, match=f"label {label} of image 2 is outside 0-2"):
        ImageSet(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), labels, ("a", "b", "c"))


@each_row(
    ("pixels", "labels", "message"),
    [
        (torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64), "uint8"),
        (torch.zeros(2, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), r"\[N, C, H, W\]"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2), "int64"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), "one for each of 2 images"),
    ],
)
def test_wrong_types_and_shapes_are_refused(pixels, labels, message):
    with pytest.raises(ValueError, match=message):
        ImageSet(pixels, labels, ("a",))


def test_pixel_statistics_are_numpys():
    data = images(30)
    mean, std = data.pixel_statistics()
    pixels = data.images.double().numpy() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(pixels.std((0, 2, 3)).tolist())


def test_a_batch_is_pixels_in_0_to_1():
    data, index = images(6), torch.tensor([5, 0])
    assert torch.equal(data.batch(index), data.images[index].float() / 255)

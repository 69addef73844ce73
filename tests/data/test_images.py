"""Image sets: what is refused, statistics, and the validation split."""

import pytest
import torch

from bntt.data import ImageSet
from bntt.data.images import split_validation


def images(count, classes=3):
    pixels = torch.arange(count * 8, dtype=torch.uint8).reshape(count, 2, 2, 2)
    return ImageSet(pixels, torch.arange(count) % classes, tuple("abc"[:classes]))


@pytest.mark.parametrize("label", [-100, -1, 3, 255])
def test_labels_outside_the_classes_are_refused(label):
    labels = torch.tensor([0, 1, label, 2])
    with pytest.raises(ValueError, match=f"label {label} of image 2 is outside 0-2"):
        ImageSet(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), labels, ("a", "b", "c"))


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("count", [1, 3, 7, 29])
def test_validation_is_disjoint_complete_and_balanced(count):
    data = images(30)
    train, validation, index = split_validation(data, count, seed=1)
    assert len(validation) == len(index) == count
    rows = [row.tobytes() for part in (train, validation) for row in part.images.numpy()]
    assert sorted(rows) == sorted(row.tobytes() for row in data.images.numpy())
    assert max(validation.counts()) - min(validation.counts()) <= 1


def test_validation_depends_on_the_seed_alone():
    data = images(30)
    first, again, other = (split_validation(data, 6, seed)[2] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("count", [0, -1, 30, 31])
def test_both_parts_need_an_image(count):
    with pytest.raises(ValueError, match="validation needs 1 to 29 of 30 images"):
        split_validation(images(30), count, seed=0)

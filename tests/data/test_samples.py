"""Sets of samples: the protocol, labels, and the validation split of any of them."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from bntt.data import FrameSet, ImageSet, SampleLoader, SampleSet, split_validation
from bntt.data.samples import check_labels, some_of
from tests.rows import each_row

NAMES = ("a", "b", "c")


def images(count):
    return ImageSet(torch.arange(count * 8, dtype=torch.uint8).reshape(count, 2, 2, 2), torch.arange(count) % 3, NAMES)


def frames(count):
    return FrameSet(torch.arange(count * 8.0).reshape(count, 4, 2), torch.arange(count) % 3, NAMES, scale=0.5)


@dataclass(frozen=True)
class Words:
    """A set of somebody else's: samples of which only the places are kept."""

    places: Tensor
    classes: tuple[str, ...] = NAMES

    @property
    def labels(self):
        return self.places % 3

    def __len__(self):
        return len(self.places)

    def select(self, index):
        return Words(self.places[index], self.classes)

    def batch(self, index):
        return self.places[index].float().unsqueeze(1)


def words(count):
    return Words(torch.arange(count))


MAKERS = pytest.mark.parametrize("make", [images, frames, words])


@MAKERS
def test_ours_and_yours_are_sample_sets(make):
    data = make(30)
    assert isinstance(data, SampleSet)
    index = torch.tensor([4, 2, 9])
    part = data.select(index)
    assert type(part) is type(data)
    assert len(part) == 3
    assert part.labels.tolist() == [1, 2, 0]
    assert data.batch(index).dtype == torch.float32
    assert torch.equal(part.batch(torch.arange(3)), data.batch(index))


@MAKERS
@each_row("count", [1, 3, 7, 27])
def test_validation_is_disjoint_complete_and_balanced(make, count):
    data = make(30)
    train, validation, index = split_validation(data, count, seed=1)
    assert type(train) is type(validation) is type(data)
    assert len(validation) == len(index) == count
    rows = [row.tobytes() for part in (train, validation) for row in part.batch(torch.arange(len(part))).numpy()]
    assert sorted(rows) == sorted(row.tobytes() for row in data.batch(torch.arange(30)).numpy())
    counts = validation.labels.bincount(minlength=3)
    assert counts.max() - counts.min() <= 1


def test_validation_depends_on_the_seed_alone():
    first, again, other = (split_validation(images(30), 6, seed)[2] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(split_validation(words(30), 6, 1)[2], first)


@each_row("count", [0, -1, 28, 30, 31])
def test_both_parts_need_samples(count):
    with pytest.raises(ValueError, match=rf"validation needs 1 to 27 of 30 samples, got {count}: more would leave the"):
        split_validation(images(30), count, seed=0)


@each_row("seed", range(5))
def test_no_class_is_lost_to_validation(seed):
    """Of eleven samples one is a cat and none a cow."""
    data = ImageSet(torch.zeros(11, 1, 2, 2, dtype=torch.uint8), torch.tensor([0] * 10 + [1]), ("dog", "cat", "cow"))
    for count in range(1, 6):
        training, validation, _ = split_validation(data, count, seed)
        assert training.counts() == [10 - count, 1, 0]
        assert validation.counts() == [count, 0, 0]
    with pytest.raises(ValueError, match="1 to 5 of 11 samples, got 6: more would leave the class 'cat' none"):
        split_validation(data, 6, seed)


def test_a_set_without_samples_has_no_validation():
    data = ImageSet(torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), ("cat",))
    with pytest.raises(ValueError, match="validation needs 1 to 0 of 0 samples, got 1"):
        split_validation(data, 1, seed=0)


def test_classes_of_two_keep_one_each():
    data = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.arange(8) // 2, tuple("abcd"))
    training, validation, _ = split_validation(data, 4, seed=0)
    assert training.counts() == validation.counts() == [1, 1, 1, 1]


@MAKERS
def test_any_set_can_be_loaded(make):
    data = make(30)
    for batch in SampleLoader(data, 8, shuffle=True).epoch(3):
        assert torch.equal(batch.inputs, data.batch(batch.indices))
        assert torch.equal(batch.labels, data.labels[batch.indices])


@each_row("label", [-100, -1, 3, 255])
def test_labels_outside_the_classes_are_refused(label):
    with pytest.raises(ValueError, match=rf"label {label} of image 2 is outside 0-2 \(3 classes, 1 such labels\)"):
        check_labels(torch.tensor([0, 1, label, 2]), 4, NAMES, "image")


@each_row("labels", [torch.zeros(3), torch.zeros(4, dtype=torch.int64), torch.zeros(3, 1).long()])
def test_labels_are_integers_one_a_sample(labels):
    with pytest.raises(ValueError, match="labels must be int64, one for each of 3 samples"):
        check_labels(labels, 3, NAMES, "sample")


@MAKERS
def test_some_of_a_set_keep_its_shares(make):
    data = make(30)
    few = some_of(data, 9, seed=3)
    assert [int((few.labels == label).sum()) for label in range(3)] == [3, 3, 3]
    assert torch.equal(few.labels, split_validation(data, 9, 3)[1].labels)
    assert some_of(data, 30, seed=3) is data
    with pytest.raises(ValueError, match="count must be 1 to 30, got 0"):
        some_of(data, 0, seed=3)


@pytest.mark.usefixtures("no_hook")
def test_a_share_is_no_count():
    for share in (0.1, 2.5):
        with pytest.raises(TypeError, match=rf"count is a number of samples, got {share}: for a share, round"):
            split_validation(images(30), share, seed=0)

"""Indices of samples: the loader's own, or in order; labels of every integer type, and batches that are none."""

import numpy as np
import pytest
import torch

from bntt.data import ImageSet, SampleLoader
from bntt.nn.samples import samples


def test_a_loader_of_epochs_gives_its_own_indices():
    data = ImageSet(torch.zeros(7, 1, 2, 2, dtype=torch.uint8), torch.zeros(7, dtype=torch.int64), ("a",))
    loader = SampleLoader(data, 3, shuffle=True)
    for draw in (0, 1):
        expected = torch.cat([batch.indices for batch in loader.epoch(draw)])
        assert torch.equal(torch.cat([index for *_, index in samples(loader, draw)]), expected)


def test_pairs_are_numbered_through_batches_of_any_size():
    pairs = [(torch.zeros(n, 1), torch.zeros(n, dtype=torch.int64)) for n in (2, 3, 1)]
    assert torch.equal(torch.cat([index for *_, index in samples(pairs, 0)]), torch.arange(6))


class Plain:
    """Yields what it is given; an epoch of its own is a number."""

    def __init__(self, *batches, epoch=3):
        self.batches, self.epoch = batches, epoch

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


IMAGES = torch.zeros(3, 1, 2, 2)


@pytest.mark.parametrize(
    "labels",
    [
        *(torch.tensor([2, 0, 1], dtype=kind) for kind in (torch.uint8, torch.int8, torch.int16, torch.int32)),
        *(np.array([2, 0, 1], dtype=kind) for kind in ("u1", "u2", "u4", "u8", "i4", ">i4")),
        np.array([1, 0, 2])[::-1],
        [2, 0, 1],
        (2, 0, 1),
        [torch.tensor(2), torch.tensor(0), torch.tensor(1)],
        list(np.array([2, 0, 1], dtype="i4")),
    ],
    ids=lambda labels: f"{type(labels).__name__} {getattr(labels, 'dtype', '')}",
)
def test_labels_of_any_integer_type(labels):
    ((_, found, _),) = samples(Plain((IMAGES, labels)), 0)
    assert found.dtype == torch.int64
    assert found.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("cat", "dog", "cat"), "labels must be 3 integers, got tuple with 'cat'"),
        (np.array(["cat", "dog", "cat"]), "labels must be 3 integers, got an array of <U3"),
        ([0, None, 1], "labels must be 3 integers, got list with None"),
        ([[0], [1, 2], [0]], r"labels must be 3 integers, got list with \[0\]"),
        (7, r"labels must be 3 integers, got torch.int64 \[\]"),
        ([0.0, 1.0, 2.0], "got list with 0.0"),
        (np.zeros(3), "got an array of float64"),
        (torch.zeros(3), r"got torch.float32 \[3\]"),
        (torch.zeros(3, dtype=torch.bool), r"got torch.bool \[3\]"),
        (torch.zeros(2, dtype=torch.int64), r"labels must be 3 integers, got torch.int64 \[2\]"),
        (torch.zeros(3, 10, dtype=torch.int64), r"labels must be 3 integers, got torch.int64 \[3, 10\]"),
    ],
    ids=str,
)
def test_labels_that_are_none(labels, message):
    with pytest.raises(ValueError, match=message):
        list(samples(Plain((IMAGES, labels)), 0))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (IMAGES, r"pairs \(inputs, labels\), got Tensor"),
        ({"images": IMAGES}, "got dict"),
        ((IMAGES,), "got tuple of 1"),
        ((IMAGES, [0, 1, 2], [0, 1, 2]), "got tuple of 3"),
        (([[0.0]], [0]), "samples of a batch must be one tensor .* got list"),
        ((torch.tensor(1.0), [0]), "samples of a batch must be one tensor .* got a single number"),
    ],
)
def test_batches_that_are_no_pairs(batch, message):
    with pytest.raises(ValueError, match=message):
        list(samples(Plain(batch), 0))


def test_an_epoch_that_cannot_be_called_is_a_plain_loaders():
    loader = Plain((IMAGES, [0, 1, 2]), (IMAGES, [0, 1, 2]))
    assert [index.tolist() for *_, index in samples(loader, 0)] == [[0, 1, 2], [3, 4, 5]]


def test_labels_of_a_loader_of_epochs_are_looked_at_too():
    class Epochs(Plain):
        def epoch(self, draw):
            return iter(self.batches)

        def __init__(self, *batches):
            self.batches = batches

    index = torch.arange(3)
    assert next(samples(Epochs((IMAGES, torch.tensor([0, 1, 2], dtype=torch.int32), index)), 0))[1].dtype == torch.int64
    with pytest.raises(ValueError, match="labels must be 3 integers"):
        next(samples(Epochs((IMAGES, torch.zeros(3), index)), 0))

"""Indices of samples: the loader's own, or in order; labels of every type, batches that are none, and going on."""

import numpy as np
import pytest
import torch

from bntt.data import ImageSet, SampleLoader
from bntt.nn.network.labelled_batch import samples
from tests.rows import each_row


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


@each_row(
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
)
def test_labels_of_any_integer_type(labels):
    ((_, found, _),) = samples(Plain((IMAGES, labels)), 0)
    assert found.dtype == torch.int64
    assert found.tolist() == [2, 0, 1]


@each_row(
    "labels, message",
    [
        (("cat", "dog", "cat"), r"labels must be 3 integers, or shares of classes \[3, K\], got <U3"),
        (
            np.array(["cat", "dog", "cat"]),
            r"labels must be 3 integers, or shares of classes \[3, K\], got <U3",
        ),
        ([0, None, 1], r"labels must be 3 integers, or shares of classes \[3, K\], got object"),
        ([[0], [1, 2], [0]], r"labels must be 3 integers, or shares of classes \[3, K\], got <U"),
        (7, r"labels must be 3 integers, or shares of classes \[3, K\], got torch.int64 \[\]"),
        (torch.tensor(7), r"labels must be 3 integers, or shares of classes \[3, K\], got torch.int64 \[\]"),
        (np.array(7), r"labels must be 3 integers, or shares of classes \[3, K\], got torch.int64 \[\]"),
        ([0.0, 1.0, 2.0], r"got torch.float64 \[3\]"),
        (np.zeros(3), r"got torch.float64 \[3\]"),
        (torch.zeros(3), r"got torch.float32 \[3\]"),
        (torch.zeros(2, 4), r"got torch.float32 \[2, 4\]"),
        (torch.zeros(3, 0), r"got torch.float32 \[3, 0\]"),
        (torch.zeros(3, 4, 1), r"got torch.float32 \[3, 4, 1\]"),
        (np.zeros((3, 4, 1)), r"got torch.float64 \[3, 4, 1\]"),
        (torch.zeros(3, dtype=torch.bool), r"got torch.bool \[3\]"),
        (
            torch.zeros(2, dtype=torch.int64),
            r"labels must be 3 integers, or shares of classes \[3, K\], got torch.int64 \[2\]",
        ),
        (
            torch.zeros(3, 10, dtype=torch.int64),
            r"labels must be 3 integers, or shares of classes \[3, K\], got torch.int64 \[3, 10\]",
        ),
    ],
)
def test_labels_that_are_none(labels, message):
    with pytest.raises(ValueError, match=message):
        list(samples(Plain((IMAGES, labels)), 0))


@each_row(
    "batch, message",
    [
        (IMAGES, r"pairs \(inputs, labels\), got Tensor"),
        ({"images": IMAGES}, "got dict"),
        ((IMAGES,), "got tuple of 1"),
        ((IMAGES, [0, 1, 2], [0, 1, 2]), "got tuple of 3"),
        ((torch.tensor(1.0), [0]), r"inputs are \[B, ...\]"),
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


SHARES = [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]


@each_row(
    "labels",
    [
        *(torch.tensor(SHARES, dtype=kind) for kind in (torch.float16, torch.float32, torch.float64)),
        *(np.array(SHARES, dtype=kind) for kind in ("f2", "f4", ">f8")),
        SHARES,
    ],
)
def test_soft_labels_of_any_floating_type(labels):
    ((_, found, _),) = samples(Plain((IMAGES, labels)), 0)
    assert found.dtype == torch.float32
    assert found.tolist() == SHARES


@each_row(
    "row, message",
    [
        ([0.5, 0.4998], "0.4998 at least and 0.9998 in sum in row 1 of the batch"),
        ([0.5, 0.5002], "0.5 at least and 1.0002 in sum in row 1"),
        ([1.25, -0.25], "-0.25 at least and 1 in sum in row 1"),
        ([float("nan"), 1.0], "nan at least and nan in sum in row 1"),
        ([float("inf"), 0.0], "0 at least and inf in sum in row 1"),
        ([float("inf"), float("-inf")], "-inf at least and nan in sum in row 1"),
    ],
)
@each_row("kind", [list, torch.tensor])
def test_soft_labels_that_are_no_shares(row, message, kind):
    with pytest.raises(ValueError, match="soft labels are shares of the classes, .*got " + message):
        list(samples(Plain((IMAGES, kind([[1.0, 0.0], row, [2.0, 2.0]]))), 0))


def test_sums_within_rounding_are_taken():
    rows = torch.full((3, 10), 0.1) + 0.9e-5
    assert torch.equal(next(samples(Plain((IMAGES, rows)), 0))[1], rows)


def batches(*sizes):
    return [(torch.full((size, 1), float(i)), torch.full((size,), i)) for i, size in enumerate(sizes)]


def flat(found):
    return [(inputs.tolist(), labels.tolist(), index.tolist()) for inputs, labels, index in found]


@each_row("first", range(4))
def test_a_plain_loader_goes_on_with_the_same_numbers(first):
    pairs = batches(2, 3, 1)
    assert flat(samples(pairs, 0, first)) == flat(samples(pairs, 0))[first:]
    assert len(flat(samples(pairs, 0, first))) == 3 - first


class Draws:
    """A loader of epochs that knows of no first batch, and notes what was asked of it."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 3

    def epoch(self, draw):
        self.asked.append(draw)
        return ((*pair, torch.arange(len(pair[1])) + 100 * i + draw) for i, pair in enumerate(batches(2, 3, 1)))


class Begins(Draws):
    def epoch(self, draw, first=0):
        self.asked.append((draw, first))
        return iter(list(super().epoch(draw))[first:])


class BeginsByName(Begins):
    def epoch(self, draw, *, first=0):
        return super().epoch(draw, first)


class Anything(Draws):
    """Its parameters of that name are others'."""

    def epoch(self, draw, *first, **more):
        assert not first
        assert not more
        return super().epoch(draw)


@each_row("first", range(4))
@each_row("kind", [Draws, Anything])
def test_a_loader_of_epochs_that_takes_no_first_batch_is_read_up_to_it(kind, first):
    loader = kind()
    assert flat(samples(loader, 7, first)) == flat(Draws().epoch(7))[first:]
    assert loader.asked == [7]


@each_row("kind", [Begins, BeginsByName])
def test_a_loader_of_epochs_is_asked_to_begin_later(kind):
    loader = kind()
    assert flat(samples(loader, 7, 2)) == flat(Draws().epoch(7))[2:]
    assert loader.asked[0] == (7, 2)


def test_an_epoch_that_python_cannot_look_into_is_read_up_to_the_first_batch(monkeypatch):
    def unknown(_):
        raise ValueError("no signature found")

    monkeypatch.setattr("bntt.nn.network.labelled_batch.signature", unknown)
    assert flat(samples(Begins(), 7, 2)) == flat(Draws().epoch(7))[2:]


def test_a_set_of_images_goes_on_where_it_stopped():
    data = ImageSet(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), torch.arange(9) % 2, ("a", "b"))
    loader = SampleLoader(data, 2, shuffle=True, mix="mixup")
    assert flat(samples(loader, 3, 2)) == flat(samples(loader, 3))[2:]


@each_row("loader", [batches(2, 3, 1), Draws()])
def test_more_batches_to_leave_out_than_there_are(loader):
    with pytest.raises(ValueError, match="the loader gave 3 batches, too few to skip 4"):
        list(samples(loader, 0, 4))

"""Indices of samples: the loader's own, or in order; labels of every type, and going on in the middle of an epoch."""

import numpy as np
import pytest
import torch

from bntt.data import ImageSet, SampleLoader
from bntt.nn.network.labelled_batch import samples
from tests.rows import each_row

IMAGES = torch.zeros(3, 1, 2, 2)
SHARES = [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]
INTEGERS = [
    *(torch.tensor([2, 0, 1], dtype=kind) for kind in (torch.uint8, torch.int8, torch.int16, torch.int32)),
    *(np.array([2, 0, 1], dtype=kind) for kind in ("u1", "u2", "u4", "u8", "i4", ">i4")),
    *(np.array([1, 0, 2])[::-1], [2, 0, 1], (2, 0, 1), [torch.tensor(2), torch.tensor(0), torch.tensor(1)]),
    list(np.array([2, 0, 1], dtype="i4")),
]
FLOATS = [
    *(torch.tensor(SHARES, dtype=kind) for kind in (torch.float16, torch.float32, torch.float64)),
    *(np.array(SHARES, dtype=kind) for kind in ("f2", "f4", ">f8")),
    SHARES,
]


@each_row(
    "labels, dtype, values",
    [
        *((labels, torch.int64, [2, 0, 1]) for labels in INTEGERS),
        *((labels, torch.float32, SHARES) for labels in FLOATS),
    ],
)
def test_labels_of_any_type(labels, dtype, values, no_hook):
    ((_, found, _),) = samples([(IMAGES, labels)], 0)
    assert found.dtype == dtype
    assert found.tolist() == values


def test_sums_within_rounding_are_taken():
    rows = torch.full((3, 10), 0.1) + 0.9e-5
    assert torch.equal(next(samples([(IMAGES, rows)], 0))[1], rows)


def batches(*sizes):
    return [(torch.full((size, 1), float(i)), torch.full((size,), i)) for i, size in enumerate(sizes)]


def flat(found):
    return [(inputs.tolist(), labels.tolist(), index.tolist()) for inputs, labels, index in found]


class Plain:
    """Its epoch is a number."""

    epoch = 3

    def __len__(self):
        return 3

    def __iter__(self):
        return iter(batches(2, 3, 1))


class Draws:
    """A loader of epochs that knows of no first batch, and notes what was asked of it."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 3

    def epoch(self, draw):
        self.asked.append(draw)
        labelled = ((x, y.to(torch.int32)) for x, y in batches(2, 3, 1))
        return ((*pair, torch.arange(len(pair[1])) + 100 * i + draw) for i, pair in enumerate(labelled))


class Begins(Draws):
    def epoch(self, draw, *, first=0):
        self.asked.append((draw, first))
        return iter(list(super().epoch(draw))[first:])


class Anything(Draws):
    """Its parameters of that name are others'."""

    def epoch(self, draw, *first, **more):
        assert not first
        assert not more
        return super().epoch(draw)


def image_loader():
    data = ImageSet(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6) % 2, ("a", "b"))
    return SampleLoader(data, 2, shuffle=True, mix="mixup")


@each_row("first", range(4))
@each_row("loader", [lambda: batches(2, 3, 1), Plain, Draws, Anything, Begins, image_loader])
def test_a_pass_goes_on_with_the_same_samples(loader, first):
    whole = flat(samples(loader(), 7))
    assert flat(samples(loader(), 7, first)) == whole[first:]
    assert len(whole) == 3


def test_samples_are_numbered_in_order_or_by_their_loader():
    assert [index.tolist() for *_, index in samples(Plain(), 7)] == [[0, 1], [2, 3, 4], [5]]
    assert [index.tolist() for *_, index in samples(Draws(), 7)] == [[7, 8], [107, 108, 109], [207]]
    assert next(samples(Draws(), 7))[1].dtype == torch.int64
    loader = image_loader()
    expected = torch.cat([batch.indices for batch in loader.epoch(1)])
    assert torch.equal(torch.cat([index for *_, index in samples(loader, 1)]), expected)


@each_row("kind, asked", [(Draws, 7), (Anything, 7), (Begins, (7, 2))])
def test_a_loader_is_asked_to_begin_later_where_it_can(kind, asked):
    loader = kind()
    list(samples(loader, 7, 2))
    assert loader.asked[0] == asked


def test_what_a_loader_of_epochs_gives_is_looked_at_too(monkeypatch):
    loader = Draws()
    with pytest.raises(ValueError, match="3 batches"):
        list(samples(loader, 0, 4))
    monkeypatch.setattr(loader, "epoch", lambda draw: iter([(IMAGES, torch.zeros(3), torch.arange(3))]))
    with pytest.raises(ValueError, match="labels"):
        next(samples(loader, 0))

"""A part of a set in batches: its samples keep their places in the whole."""

import pytest
import torch

from bntt.data import ImageSet, PartLoader
from bntt.nn.network.labelled_batch import EpochLoader, samples

DATA = ImageSet(torch.arange(40, dtype=torch.uint8).view(10, 1, 2, 2), torch.arange(10) % 3, ("a", "b", "c"))
PLACES = torch.tensor([1, 4, 5, 8, 9])


def test_pixels_labels_and_places():
    loader = PartLoader(DATA, PLACES, 2)
    assert isinstance(loader, EpochLoader)
    batches = list(samples(loader, 0))
    assert [len(index) for _, _, index in batches] == [2, 2, 1]
    assert len(loader) == 3
    inputs, labels, index = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert torch.equal(index, PLACES)
    assert torch.equal(inputs, DATA.batch(PLACES))
    assert torch.equal(labels, DATA.labels[PLACES])


def test_all_of_a_set_is_not_copied():
    loader = PartLoader(DATA, torch.arange(10), 4)
    assert loader._loader.data is DATA
    assert torch.cat([index for _, _, index in samples(loader, 0)]).tolist() == list(range(10))
    backwards = torch.arange(10).flip(0)
    ((inputs, _, index),) = samples(PartLoader(DATA, backwards, 10), 0)
    assert torch.equal(inputs, DATA.batch(backwards)), "another order is another part"
    assert torch.equal(index, backwards)


def test_it_begins_where_it_is_asked_to():
    assert [index.tolist() for _, _, index in samples(PartLoader(DATA, PLACES, 2), 0, first=1)] == [[5, 8], [9]]


def test_refusals():
    with pytest.raises(ValueError, match="there are no samples"):
        PartLoader(DATA, PLACES[:0], 2)
    with pytest.raises(ValueError, match="batch_size must be 1 or more"):
        PartLoader(DATA, PLACES, 0)

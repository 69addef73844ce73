"""Indices of samples: the loader's own, or in order."""

import torch

from bntt.data import ImageLoader, ImageSet
from bntt.nn.samples import samples


def test_a_loader_of_epochs_gives_its_own_indices():
    data = ImageSet(torch.zeros(7, 1, 2, 2, dtype=torch.uint8), torch.zeros(7, dtype=torch.int64), ("a",))
    loader = ImageLoader(data, 3, shuffle=True)
    for draw in (0, 1):
        expected = torch.cat([batch.indices for batch in loader.epoch(draw)])
        assert torch.equal(torch.cat([index for *_, index in samples(loader, draw)]), expected)


def test_pairs_are_numbered_through_batches_of_any_size():
    pairs = [(torch.zeros(n, 1), torch.zeros(n)) for n in (2, 3, 1)]
    assert torch.equal(torch.cat([index for *_, index in samples(pairs, 0)]), torch.arange(6))

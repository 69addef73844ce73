"""Every image once an epoch, in an order and with changes that depend on the draw alone."""

import pytest
import torch

from bntt.data import ImageSet, SampleLoader


def data(count):
    pixels = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1).expand(count, 1, 4, 4).contiguous()
    return ImageSet(pixels, torch.arange(count) % 2, ("even", "odd"))


@pytest.mark.parametrize("count", [1, 2, 10, 33, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 32, 1000])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_image_once_in_batches_of_nearly_equal_size(count, batch_size, shuffle):
    batches = list(SampleLoader(data(count), batch_size, shuffle=shuffle).epoch(0))
    sizes = [len(b.labels) for b in batches]
    assert len(batches) == len(SampleLoader(data(count), batch_size))
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert torch.equal(torch.cat([b.indices for b in batches]).sort().values, torch.arange(count))


def test_images_labels_and_indices_belong_together():
    for batch in SampleLoader(data(50), 8, shuffle=True).epoch(3):
        assert torch.equal((batch.inputs[:, 0, 0, 0] * 255).round().long(), batch.indices)
        assert torch.equal(batch.labels, batch.indices % 2)
        assert batch.inputs.dtype == torch.float32


def test_no_batch_of_one_from_33_images_by_32():
    """A last batch of one image could not be normalised by a fully connected BNTT."""
    assert [len(b.labels) for b in SampleLoader(data(33), 32).epoch(0)] == [17, 16]


def test_orders_differ_by_draw_and_seed_and_repeat():
    def order(seed, draw):
        return torch.cat([b.indices for b in SampleLoader(data(50), 8, shuffle=True, seed=seed).epoch(draw)])

    assert torch.equal(order(0, 1), order(0, 1))
    assert not torch.equal(order(0, 1), order(0, 2))
    assert not torch.equal(order(0, 1), order(1, 1))


def test_augmentation_follows_the_image_not_the_batch():
    def augmented(batch_size, augment=("crop", "flip")):
        loader = SampleLoader(data(50), batch_size, shuffle=True, augment=augment)
        batches = list(loader.epoch(1))
        return torch.cat([b.inputs for b in batches])[torch.cat([b.indices for b in batches]).argsort()]

    assert torch.equal(augmented(7), augmented(50))
    assert not torch.equal(augmented(7), augmented(7, augment=())), "and something is changed at all"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size must be 1 or more"), ({"batch_size": 2, "augment": ["spin"]}, "'spin'")],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        SampleLoader(data(3), **options)


def test_no_samples():
    with pytest.raises(ValueError, match="0 batches"):
        SampleLoader(data(1).select(torch.tensor([], dtype=torch.int64)), 2)

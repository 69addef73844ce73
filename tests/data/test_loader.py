"""Every sample once an epoch, in an order and with changes that depend on the draw alone; parts of a set."""

from dataclasses import dataclass, field

import pytest
import torch

from bntt.data import FrameSet, ImageSet, PartLoader, SampleLoader, SequenceSet
from bntt.data.augment import cutmix, mixup, pair
from bntt.nn.network.labelled_batch import EpochLoader, samples
from tests.rows import each_row


def data(count):
    pixels = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1).expand(count, 1, 4, 4).contiguous()
    return ImageSet(pixels, torch.arange(count) % 2, ("even", "odd"))


@each_row("count", [1, 2, 10, 33, 100])
@each_row("batch_size", [1, 3, 32, 1000])
@each_row("shuffle", [True, False])
def test_every_image_once_with_its_label_in_batches_of_nearly_equal_size(count, batch_size, shuffle):
    """Of 33 images by 32 none is alone: a last batch of one could not be normalised by a fully connected BNTT."""
    loader = SampleLoader(data(count), batch_size, shuffle=shuffle)
    batches = list(loader.epoch(0))
    sizes = [len(b.labels) for b in batches]
    assert len(batches) == len(loader)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert torch.equal(torch.cat([b.indices for b in batches]).sort().values, torch.arange(count))
    for batch in batches:
        assert torch.equal((batch.inputs[:, 0, 0, 0] * 255).round().long(), batch.indices)
        assert torch.equal(batch.labels, batch.indices % 2)
        assert batch.inputs.dtype == torch.float32


def test_orders_differ_by_draw_and_seed_and_repeat():
    def order(seed, draw):
        return torch.cat([b.indices for b in SampleLoader(data(50), 8, shuffle=True, seed=seed).epoch(draw)])

    assert torch.equal(order(0, 1), order(0, 1))
    assert not torch.equal(order(0, 1), order(0, 2))
    assert not torch.equal(order(0, 1), order(1, 1))
    loader = SampleLoader(data(50), 8, shuffle=True)
    loader.begin_at(3)
    for draw in (3, 4):
        assert torch.equal(torch.cat([batch.indices for batch in loader]), order(0, draw)), (
            "the next pass, and the next"
        )


FRAMES = FrameSet(torch.zeros(3, 4, 2), torch.arange(3), ("a", "b", "c"))
EVENTS = FrameSet(torch.zeros(3, 4, 2, 5, 5), torch.arange(3), ("a", "b", "c"))
TOLD = SequenceSet(data(3), "rows")


@each_row(
    ("samples", "options", "named"),
    [
        (data(3), {"batch_size": 0}, "batch_size"),
        (data(3), {"augment": ["spin"]}, "'spin': .*crop, flip, cutout, erase"),
        (data(3), {"augment": ["shift"]}, "'shift': .*crop"),
        (data(3), {"mix": "blend"}, "'blend': .*mixup, cutmix"),
        (data(3), {"share": (2, 2)}, "share"),
        *((data(3), {"mix": "mixup", "mix_alpha": a}, "mix_alpha") for a in (0.0, -1.0, float("inf"), float("nan"))),
        (data(1).select(torch.tensor([], dtype=torch.int64)), {}, "no samples"),
        (FRAMES, {"mix": "cutmix"}, "mix 'cutmix': a FrameSet"),
        (FRAMES, {"augment": ["crop", "flip"]}, "'crop': a FrameSet"),
        (EVENTS, {"augment": ["crop"]}, "'crop': .*flip, shift"),
        (TOLD, {"augment": ["crop"]}, "'crop': a SequenceSet"),
        (TOLD, {"mix": "mixup"}, "'mixup': a SequenceSet"),
    ],
)
def test_bad_settings(samples, options, named):
    with pytest.raises(ValueError, match=named):
        SampleLoader(samples, **{"batch_size": 2} | options)


def test_a_dataset_of_pytorch_is_no_sample_set(no_hook):
    with pytest.raises(TypeError, match=r"data .*TensorDataset"):
        SampleLoader(torch.utils.data.TensorDataset(torch.zeros(3, 1), torch.zeros(3)), 2)


def noisy(count):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 2, 8, 8), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % 3, ("a", "b", "c"))


@each_row("mix", [mixup, cutmix])
def test_a_mixed_image_is_made_of_two_augmented_ones(mix):
    """Both as they stand in the same draw without mixing, and their labels by what is left of each."""
    options = {"augment": ["crop", "flip"], "seed": 5}
    (plain,) = SampleLoader(noisy(40), 40, **options).epoch(3)
    pairs = pair(seed=5, draw=3, index=torch.arange(40), count=40, alpha=0.4)
    expected, kept = mix(plain.inputs, plain.inputs[pairs.partner], pairs)
    (batch,) = SampleLoader(noisy(40), 40, mix=mix.__name__, mix_alpha=0.4, **options).epoch(3)
    assert torch.equal(batch.inputs, expected)
    assert torch.equal(batch.indices, torch.arange(40))
    assert (batch.labels.shape, batch.labels.dtype) == ((40, 3), torch.float32)
    for i in range(40):
        label = torch.zeros(3)
        label[i % 3] += kept[i]
        label[pairs.partner[i] % 3] += 1 - kept[i]
        assert torch.equal(batch.labels[i], label)
    assert not torch.equal(batch.inputs, plain.inputs)


ALL = {"augment": ["crop", "flip", "cutout", "erase"], "shuffle": True}


@each_row("options", [{}, {"shuffle": True}, ALL, {"mix": "mixup", **ALL}, {"mix": "cutmix", **ALL}])
@each_row("draw", [0, 4])
def test_what_changes_follows_its_index_not_the_batch_and_an_epoch_goes_on_from_any_batch(options, draw):
    def whole(batch_size):
        batches = list(SampleLoader(noisy(50), batch_size, **options).epoch(draw))
        order = torch.cat([b.indices for b in batches]).argsort()
        return torch.cat([b.inputs for b in batches])[order], torch.cat([b.labels for b in batches])[order]

    assert all(map(torch.equal, whole(7), whole(50)))
    assert torch.equal(whole(7)[0], noisy(50).batch(torch.arange(50))) == ("augment" not in options)
    loader = SampleLoader(noisy(50), 8, **options)
    batches = list(loader.epoch(draw))
    for first in range(len(batches) + 1):
        rest = list(loader.epoch(draw, first))
        assert len(rest) == len(batches) - first
        for found, expected in zip(rest, batches[first:], strict=True):
            assert all(map(torch.equal, found, expected))
    for first in (-1, 8):
        with pytest.raises(ValueError, match=f"0 to 7, got {first}"):
            next(loader.epoch(0, first))


@dataclass(frozen=True)
class Watched(ImageSet):
    """Notes which images were read."""

    read: list = field(default_factory=list)

    def batch(self, index):
        self.read.extend(index.tolist())
        return super().batch(index)


def test_batches_before_the_first_are_not_read():
    images = noisy(50)
    data = Watched(images.images, images.labels, images.classes)
    (last,) = SampleLoader(data, 10, shuffle=True).epoch(0, first=4)
    assert data.read == last.indices.tolist()


PLACES = torch.tensor([1, 4, 5, 8, 9])


def test_a_part_has_pixels_labels_and_places_of_the_whole():
    whole, loader = noisy(10), PartLoader(noisy(10), PLACES, 2)
    assert isinstance(loader, EpochLoader)
    batches = list(samples(loader, 0))
    assert [len(index) for _, _, index in batches] == [2, 2, 1]
    assert len(loader) == 3
    inputs, labels, index = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert torch.equal(index, PLACES)
    assert torch.equal(inputs, whole.batch(PLACES))
    assert torch.equal(labels, whole.labels[PLACES])
    assert [index.tolist() for _, _, index in samples(loader, 0, first=1)] == [[5, 8], [9]]
    assert [batch.indices.tolist() for batch in loader] == [[1, 4], [5, 8], [9]]
    for places, batch_size, named in ((PLACES[:0], 2, "no samples"), (PLACES, 0, "batch_size")):
        with pytest.raises(ValueError, match=named):
            PartLoader(whole, places, batch_size)


def test_all_of_a_set_is_not_copied():
    whole = noisy(10)
    loader = PartLoader(whole, torch.arange(10), 4)
    assert loader._loader.data is whole
    assert torch.cat([index for _, _, index in samples(loader, 0)]).tolist() == list(range(10))
    backwards = torch.arange(10).flip(0)
    ((inputs, _, index),) = samples(PartLoader(whole, backwards, 10), 0)
    assert torch.equal(inputs, whole.batch(backwards)), "another order is another part"
    assert torch.equal(index, backwards)

"""Every image once an epoch, in an order and with changes that depend on the draw alone."""

from dataclasses import dataclass, field

import pytest
import torch

from bntt.data import FrameSet, ImageSet, SampleLoader
from bntt.data.augment import cutmix, mixup, pair
from tests.rows import each_row


def data(count):
    pixels = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1).expand(count, 1, 4, 4).contiguous()
    return ImageSet(pixels, torch.arange(count) % 2, ("even", "odd"))


@each_row("count", [1, 2, 10, 33, 100])
@each_row("batch_size", [1, 3, 32, 1000])
@each_row("shuffle", [True, False])
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


@each_row(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 1 or more"),
        ({"batch_size": 2, "augment": ["spin"]}, "'spin': choose out of crop, flip, cutout, erase"),
        ({"batch_size": 2, "mix": "blend"}, "unknown mix 'blend': choose out of mixup, cutmix"),
        *(
            ({"batch_size": 2, "mix": "mixup", "mix_alpha": alpha}, "mix_alpha must be a finite number above 0")
            for alpha in (0.0, -1.0, float("inf"), float("nan"))
        ),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        SampleLoader(data(3), **options)


def test_no_samples():
    with pytest.raises(ValueError, match="0 batches"):
        SampleLoader(data(1).select(torch.tensor([], dtype=torch.int64)), 2)


def test_mixing_is_for_images():
    frames = FrameSet(torch.zeros(3, 4, 2), torch.arange(3), ("a", "b", "c"))
    with pytest.raises(ValueError, match="unknown mix 'cutmix': a FrameSet takes none"):
        SampleLoader(frames, 2, mix="cutmix")


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
    assert batch.labels.shape == (40, 3)
    assert batch.labels.dtype == torch.float32
    for i in range(40):
        label = torch.zeros(3)
        label[i % 3] += kept[i]
        label[pairs.partner[i] % 3] += 1 - kept[i]
        assert torch.equal(batch.labels[i], label)
    assert not torch.equal(batch.inputs, plain.inputs)


ALL = {"augment": ["crop", "flip", "cutout", "erase"], "shuffle": True}


@each_row("mix", ["mixup", "cutmix"])
def test_a_mixed_image_follows_its_index_not_the_batch(mix):
    def mixed(batch_size):
        batches = list(SampleLoader(noisy(50), batch_size, mix=mix, **ALL).epoch(1))
        order = torch.cat([b.indices for b in batches]).argsort()
        return torch.cat([b.inputs for b in batches])[order], torch.cat([b.labels for b in batches])[order]

    for found, whole in zip(mixed(7), mixed(50), strict=True):
        assert torch.equal(found, whole)


@dataclass(frozen=True)
class Watched(ImageSet):
    """Notes which images were read."""

    read: list = field(default_factory=list)

    def batch(self, index):
        self.read.extend(index.tolist())
        return super().batch(index)


@each_row("options", [{}, {"shuffle": True}, {"mix": "mixup", **ALL}, {"mix": "cutmix", **ALL}])
@each_row("draw", [0, 4])
def test_an_epoch_goes_on_from_any_batch(options, draw):
    loader = SampleLoader(noisy(50), 8, **options)
    whole = list(loader.epoch(draw))
    for first in range(len(whole) + 1):
        rest = list(loader.epoch(draw, first))
        assert len(rest) == len(whole) - first
        for found, expected in zip(rest, whole[first:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_batches_before_the_first_are_not_read():
    images = noisy(50)
    data = Watched(images.images, images.labels, images.classes)
    (last,) = SampleLoader(data, 10, shuffle=True).epoch(0, first=4)
    assert data.read == last.indices.tolist()


@each_row("first", [-1, 4])
def test_a_first_batch_outside_the_epoch(first):
    with pytest.raises(ValueError, match=f"an epoch has 3 batches: it begins with number 0 to 3, got {first}"):
        next(SampleLoader(data(9), 3).epoch(0, first))


def test_the_next_pass_is_the_draw_it_is_told():
    loader = SampleLoader(data(20), 5, shuffle=True)
    loader.begin_at(3)
    passes = [torch.cat([batch.indices for batch in loader]).tolist() for _ in range(2)]
    assert passes == [torch.cat([batch.indices for batch in loader.epoch(draw)]).tolist() for draw in (3, 4)]


def test_a_dataset_of_pytorch_is_no_sample_set(no_hook):
    with pytest.raises(TypeError, match="another SampleSet, got TensorDataset: fit and evaluate also take a"):
        SampleLoader(torch.utils.data.TensorDataset(torch.zeros(3, 1), torch.zeros(3)), 2)

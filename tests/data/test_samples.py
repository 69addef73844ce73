"""Sets of samples and sequences, subsets stratified by class, and loaders: every sample once an epoch."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from bntt.data import FrameSet, ImageSet, PartLoader, SampleLoader, SampleSet, SequenceSet, split_validation, stratified
from bntt.data.augment import cutmix, mixup, pair
from bntt.data.samples import ORDERS, arrange, digest_of, how_chosen, places, some_of
from bntt.nn.network.labelled_batch import EpochLoader, samples
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


MAKERS = each_row("make", [images, frames, words])


@MAKERS
def test_ours_and_yours_are_sample_sets_that_can_be_loaded(make):
    data = make(30)
    assert isinstance(data, SampleSet)
    index = torch.tensor([4, 2, 9])
    part = data.select(index)
    assert type(part) is type(data)
    assert (len(part), part.labels.tolist()) == (3, [1, 2, 0])
    assert data.batch(index).dtype == torch.float32
    assert torch.equal(part.batch(torch.arange(3)), data.batch(index))
    for batch in SampleLoader(data, 8, shuffle=True).epoch(3):
        assert torch.equal(batch.inputs, data.batch(batch.indices))
        assert torch.equal(batch.labels, data.labels[batch.indices])


def test_batches_and_statistics_of_images():
    data, index = images(30), torch.tensor([5, 0])
    assert torch.equal(data.batch(index), data.images[index].float() / 255)
    mean, std = data.pixel_statistics()
    pixels = data.images.double().numpy() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(pixels.std((0, 2, 3)).tolist())


LABELS = torch.tensor([0, 1, 1])


def build(frames, labels=LABELS, **options):
    return FrameSet(frames, labels, ("left", "right"), **options)


@each_row("kind", [torch.uint8, torch.uint16, torch.float16, torch.float32, torch.float64])
@each_row("shape", [(3, 4, 2), (3, 4, 2, 5, 6)])
def test_a_batch_of_frames_is_scaled_floats_and_a_selection_leaves_the_frames_where_they_are(kind, shape, rng):
    counts = torch.randint(0, 200, shape, generator=rng)
    data = build(counts.to(kind), scale=0.25)
    assert (len(data), data.num_steps) == (3, 4)
    batch = data.batch(torch.tensor([2, 0]))
    assert batch.dtype == torch.float32
    assert torch.equal(batch, counts[[2, 0]].float() / 4)
    chosen = data.select(torch.tensor([2, 0, 2]))
    again = chosen.select(torch.tensor([1, 2]))
    assert chosen.frames is again.frames is data.frames
    assert (len(chosen), len(again), again.labels.tolist(), again.num_steps) == (3, 2, [0, 1], 4)
    assert torch.equal(again.batch(torch.tensor([1, 0])), batch)


def test_frames_keep_counts_beyond_a_byte_and_negative_values():
    assert build(torch.full((3, 1, 1), 40_000).to(torch.uint16)).batch(torch.tensor([1])).item() == 40_000
    assert build(-torch.ones(3, 4, 2)).batch(torch.arange(3)).max() == -1


ZEROS, PIXELS = torch.zeros(3, 4, 2), torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
UNSEEN = torch.tensor([0, 2, 1])


@each_row(
    ("make", "named"),
    [
        (lambda: build(torch.zeros(3, 4)), r"frames .*float32 \[3, 4\]"),
        (lambda: build(torch.zeros(3, 2, 5, 6)), r"frames .*\[3, 2, 5, 6\]"),
        (lambda: build(ZEROS.long()), "frames .*int64"),
        (lambda: build(ZEROS.bool()), "frames .*bool"),
        (lambda: build(ZEROS.to(torch.complex64)), "frames .*complex64"),
        (lambda: build(torch.zeros(3, 0, 2)), r"frames .*\[3, 0, 2\]"),
        (lambda: build(torch.zeros(3, 4, 2, 0, 6)), r"frames .*\[3, 4, 2, 0, 6\]"),
        (lambda: build(torch.tensor([0.0, 1.0, float("nan")]).view(3, 1, 1)), "frames .*sample 2"),
        (lambda: build(torch.tensor([0.0, float("inf"), 0.0]).view(3, 1, 1)), "frames .*sample 1"),
        *(
            (lambda scale=scale: build(ZEROS, scale=scale), "scale")
            for scale in (0.0, -1.0, float("nan"), float("inf"))
        ),
        (lambda: build(torch.zeros(2, 4, 2)), "labels .*2 samples"),
        (lambda: build(ZEROS, UNSEEN), "label 2 of sample 1"),
        (lambda: ImageSet(PIXELS.float(), LABELS, NAMES), "images .*float32"),
        (lambda: ImageSet(PIXELS[0], LABELS, NAMES), r"images .*\[1, 2, 2\]"),
        (lambda: ImageSet(PIXELS, torch.zeros(3), NAMES), "labels .*float32"),
        (lambda: ImageSet(PIXELS, torch.zeros(4).long(), NAMES), "labels .*3 images"),
        (lambda: ImageSet(PIXELS, torch.zeros(3, 1).long(), NAMES), "labels .*3 images"),
        *(
            (
                lambda label=label: ImageSet(PIXELS, torch.tensor([0, 1, label]), NAMES),
                f"label {label} of image 2 .*0-2",
            )
            for label in (-100, -1, 3, 255)
        ),
    ],
)
def test_what_is_no_set_is_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()


@MAKERS
@each_row("count", [1, 3, 7, 27])
def test_validation_is_disjoint_complete_balanced_and_of_the_seed_alone(make, count):
    data = make(30)
    train, validation, index = split_validation(data, count, seed=1)
    assert type(train) is type(validation) is type(data)
    assert len(validation) == len(index) == count
    rows = [row.tobytes() for part in (train, validation) for row in part.batch(torch.arange(len(part))).numpy()]
    assert sorted(rows) == sorted(row.tobytes() for row in data.batch(torch.arange(30)).numpy())
    counts = validation.labels.bincount(minlength=3)
    assert counts.max() - counts.min() <= 1
    assert torch.equal(index, split_validation(words(30), count, 1)[2])
    assert torch.equal(index, stratified(data, count, seed=1)), "as any subset is chosen"
    assert count == 27 or not torch.equal(index, split_validation(data, count, 2)[2])


@each_row("seed", range(5))
def test_no_class_is_lost_to_validation(seed):
    """Of eleven samples one is a cat and none a cow; of eight, two are of each class."""
    data = ImageSet(torch.zeros(11, 1, 2, 2, dtype=torch.uint8), torch.tensor([0] * 10 + [1]), ("dog", "cat", "cow"))
    for count in range(1, 6):
        training, validation, _ = split_validation(data, count, seed)
        assert training.counts() == [10 - count, 1, 0]
        assert validation.counts() == [count, 0, 0]
    with pytest.raises(ValueError, match=r"1 to 5 of 11 .*got 6.*'cat'"):
        split_validation(data, 6, seed)
    pairs = ImageSet(torch.zeros(8, 1, 2, 2, dtype=torch.uint8), torch.arange(8) // 2, tuple("abcd"))
    training, validation, _ = split_validation(pairs, 4, seed)
    assert training.counts() == validation.counts() == [1, 1, 1, 1]


def of_labels(labels, classes=3):
    labels = torch.as_tensor(labels)
    return ImageSet(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels, tuple("abcdefghijkl"[:classes]))


UNEVEN = of_labels([0] * 60 + [1] * 30 + [2] * 10)


@pytest.mark.usefixtures("no_hook")
@each_row(
    ("call", "error", "named"),
    [
        *(
            (lambda n=n: split_validation(images(30), n, 0), ValueError, f"1 to 27 of 30 .*{n}")
            for n in (0, -1, 28, 31)
        ),
        (lambda: split_validation(images(0), 1, 0), ValueError, "1 to 0 of 0 .*1"),
        *((lambda n=n: split_validation(images(30), n, 0), TypeError, f"count .*{n}") for n in (0.1, 2.5)),
        *((lambda n=n: stratified(UNEVEN, n), ValueError, f"count .*1 to 100.* {n}") for n in (0, -3, 101)),
        (lambda: some_of(UNEVEN, 0, 3), ValueError, "count .*0"),
    ],
)
def test_counts_out_of_range(call, error, named):
    with pytest.raises(error, match=named):
        call()


@each_row("count", [1, 2, 10, 37, 99, 100])
def test_a_subset_is_ascending_fair_to_every_class_and_part_of_a_larger_one(count):
    places = stratified(UNEVEN, count, seed=5)
    assert len(places) == len(places.unique()) == count
    assert torch.equal(places, places.sort().values)
    counts = UNEVEN.select(places).counts()
    assert all(abs(found - count * share) <= 1 for found, share in zip(counts, (0.6, 0.3, 0.1), strict=True))
    assert torch.isin(stratified(UNEVEN, max(1, count // 2), seed=5), places).all()
    other = ImageSet(torch.ones(100, 2, 3, 3, dtype=torch.uint8), UNEVEN.labels, ("x", "y", "z"))
    assert torch.equal(stratified(other, count, seed=5), places), "neither pixels nor names matter"
    assert count == 100 or not torch.equal(places, stratified(UNEVEN, count, seed=6))
    assert torch.equal(some_of(UNEVEN, count, seed=5).labels, UNEVEN.labels[places])


def test_these_places_for_good_and_what_is_said_of_them():
    """Written down: rows of results name a subset by its count and seed alone."""
    assert stratified(of_labels([0, 1, 2] * 10), 6).tolist() == [3, 4, 9, 11, 20, 22]
    assert some_of(UNEVEN, 100, seed=3) is UNEVEN
    assert how_chosen(UNEVEN, 100) == "all 100"
    assert how_chosen(UNEVEN, 10, 3) == "10 of 100, stratified by class, seed 3"
    assert how_chosen(UNEVEN, 2).endswith(", with 2 of the 3 classes")
    assert not how_chosen(of_labels([0, 1] * 8), 4).endswith("classes"), "of the third there is none"


THREE = torch.tensor([0, 1, 1])


def counted_images(channels=2, height=3, width=4):
    """Every value names its image, channel, row and column."""
    n, c, h, w = torch.meshgrid(*(torch.arange(size) for size in (3, channels, height, width)), indexing="ij")
    return (64 * n + 16 * c + 4 * h + w).to(torch.uint8)


def sequences(order):
    return SequenceSet(ImageSet(counted_images(), THREE, ("cat", "dog")), order)


def test_pixels_come_row_after_row_with_all_their_channels_and_rows_from_the_top():
    told = arrange(counted_images(), "pixels")
    assert told.shape == (3, 12, 2)
    assert told[1, :, 0].tolist() == [64 + 4 * h + w for h in range(3) for w in range(4)]
    assert told[0, 6].tolist() == [4 + 2, 16 + 4 + 2]
    told = arrange(counted_images(), "rows")
    assert told.shape == (3, 3, 8)
    assert told[2, 1].tolist() == [128 + 4 + w for w in range(4)] + [128 + 16 + 4 + w for w in range(4)]


def test_permuted_pixels_are_those_of_the_places_the_same_for_ever():
    """Runs were trained with them."""
    told, order = arrange(counted_images(), "permuted"), places(12)
    assert order.sort().values.tolist() == list(range(12)) != order.tolist()
    for t, place in enumerate(order.tolist()):
        assert torch.equal(told[:, t], counted_images()[:, :, place // 4, place % 4])
    assert digest_of("permuted", 784) == "be14d1a11dd255c12c3860a35b9f5d739e7f3e5af4d91402fdc1bfff82c3ffb6"
    assert len({digest_of(order, 784) for order in ORDERS}) == 3


@each_row(("order", "shape"), [("pixels", (12, 2)), ("permuted", (12, 2)), ("rows", (3, 8))])
def test_a_set_has_the_arranged_images_and_is_loaded_and_split_as_any(order, shape):
    data = sequences(order)
    assert (data.num_steps, data.features) == shape
    assert (len(data), data.classes, data.labels.tolist()) == (3, ("cat", "dog"), [0, 1, 1])
    batch = data.batch(torch.tensor([2, 0]))
    assert batch.dtype == torch.float32
    assert torch.equal(batch, arrange(counted_images(), order)[[2, 0]] / 255)
    assert torch.equal(data.select(torch.tensor([2])).batch(torch.tensor([0])), batch[:1])
    training, held_out, index = split_validation(data, 1, seed=0)
    assert torch.equal(held_out.batch(torch.tensor([0])), data.batch(index))
    (batch,) = SampleLoader(training, 2).epoch(0)
    assert batch.inputs.shape == (2, *shape)


def test_an_unknown_order():
    for wrong in (lambda: sequences("columns"), lambda: arrange(counted_images(), "")):
        with pytest.raises(ValueError, match="order"):
            wrong()


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
    for index, batch_size, named in ((PLACES[:0], 2, "no samples"), (PLACES, 0, "batch_size")):
        with pytest.raises(ValueError, match=named):
            PartLoader(whole, index, batch_size)


def test_all_of_a_set_is_not_copied():
    whole = noisy(10)
    loader = PartLoader(whole, torch.arange(10), 4)
    assert loader._loader.data is whole
    assert torch.cat([index for _, _, index in samples(loader, 0)]).tolist() == list(range(10))
    backwards = torch.arange(10).flip(0)
    ((inputs, _, index),) = samples(PartLoader(whole, backwards, 10), 0)
    assert torch.equal(inputs, whole.batch(backwards)), "another order is another part"
    assert torch.equal(index, backwards)

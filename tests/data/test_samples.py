"""Sets of samples: images, frames and anybody's; what they refuse, their batches, and subsets stratified by class."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from bntt.data import FrameSet, ImageSet, SampleLoader, SampleSet, split_validation, stratified
from bntt.data.samples import how_chosen, some_of
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

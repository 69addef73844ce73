"""Sets of samples that have time in them: what is refused, and what a batch holds."""

import pytest
import torch

from bntt.data import FrameSet, SampleLoader
from tests.rows import each_row

LABELS = torch.tensor([0, 1, 1])


def build(frames, labels=LABELS, **options):
    return FrameSet(frames, labels, ("left", "right"), **options)


@each_row("kind", [torch.uint8, torch.uint16, torch.float16, torch.float32, torch.float64])
@each_row("shape", [(3, 4, 2), (3, 4, 2, 5, 6)])
def test_a_batch_is_scaled_floats_in_their_order(kind, shape, rng):
    counts = torch.randint(0, 200, shape, generator=rng)
    data = build(counts.to(kind), scale=0.25)
    assert (len(data), data.num_steps) == (3, 4)
    batch = data.batch(torch.tensor([2, 0]))
    assert batch.dtype == torch.float32
    assert torch.equal(batch, counts[[2, 0]].float() / 4)
    assert torch.equal(data.select(torch.tensor([2])).batch(torch.tensor([0])), batch[:1])


def test_counts_beyond_a_byte_keep_their_value():
    frames = torch.full((3, 1, 1), 40_000).to(torch.uint16)
    assert build(frames).batch(torch.tensor([1])).item() == 40_000


def test_sequences_may_be_negative():
    assert build(-torch.ones(3, 4, 2)).batch(torch.arange(3)).max() == -1


@each_row(
    ("frames", "message"),
    [
        (torch.zeros(3, 4), r"\[N, T, C, H, W\] or \[N, T, F\].*got torch.float32 \[3, 4\]"),
        (torch.zeros(3, 2, 5, 6), r"got torch.float32 \[3, 2, 5, 6\]"),
        (torch.zeros(3, 4, 2, dtype=torch.int64), "uint8 or uint16 counts or floating point, got torch.int64"),
        (torch.zeros(3, 4, 2, dtype=torch.bool), "got torch.bool"),
        (torch.zeros(3, 4, 2, dtype=torch.complex64), "got torch.complex64"),
        (torch.zeros(3, 0, 2), r"all but N 1 or more.*got torch.float32 \[3, 0, 2\]"),
        (torch.zeros(3, 4, 2, 0, 6), r"all but N 1 or more.*\[3, 4, 2, 0, 6\]"),
        (torch.tensor([0.0, 1.0, float("nan")]).view(3, 1, 1), "frames must be finite, sample 2 is not"),
        (torch.tensor([0.0, float("inf"), 0.0]).view(3, 1, 1), "frames must be finite, sample 1 is not"),
        (torch.zeros(2, 4, 2), "one for each of 2 samples"),
    ],
)
def test_wrong_types_and_shapes_are_refused(frames, message):
    with pytest.raises(ValueError, match=message):
        build(frames)


@each_row("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_above_zero(scale):
    with pytest.raises(ValueError, match="scale must be a finite number above 0"):
        build(torch.zeros(3, 4, 2), scale=scale)


def test_labels_are_those_of_the_classes():
    with pytest.raises(ValueError, match="label 2 of sample 1 is outside 0-1"):
        build(torch.zeros(3, 4, 2), torch.tensor([0, 2, 1]))


def test_a_selection_leaves_the_frames_where_they_are(rng):
    data = build(torch.randint(0, 9, (3, 4, 2), generator=rng, dtype=torch.uint8), scale=0.5)
    chosen = data.select(torch.tensor([2, 0, 2]))
    again = chosen.select(torch.tensor([1, 2]))
    assert chosen.frames is again.frames is data.frames
    assert (len(chosen), len(again), again.labels.tolist(), again.num_steps) == (3, 2, [0, 1], 4)
    assert torch.equal(again.batch(torch.tensor([1, 0])), data.frames[[2, 0]].float() / 2)


def test_augmentations_are_for_images_and_events():
    data = build(torch.zeros(3, 4, 2))
    with pytest.raises(ValueError, match="unknown augmentation 'crop': a FrameSet takes none"):
        SampleLoader(data, 2, augment=["crop", "flip"])

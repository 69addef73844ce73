"""Events that are moved stay events, and all frames of a recording move alike."""

import pytest
import torch

from bntt.data import FrameSet, ImageSet, SampleLoader
from bntt.data.augment import EVENT_AUGMENTATIONS, random_crop, random_flip
from tests.rows import each_row

INDEX = torch.arange(40)


@pytest.fixture
def frames(rng):
    """Counts far from the border, so that no shift of up to 4 loses one."""
    frames = torch.zeros(40, 3, 2, 20, 22, dtype=torch.uint8)
    frames[..., 6:14, 5:16] = torch.randint(0, 9, (40, 3, 2, 8, 11), generator=rng, dtype=torch.uint8)
    return frames


@each_row("kind", [torch.uint8, torch.float32])
@each_row("change", EVENT_AUGMENTATIONS.values())
def test_counts_are_kept_step_by_step(change, kind, frames):
    changed = change(frames.to(kind), seed=3, draw=1, index=INDEX)
    assert (changed.dtype, changed.shape) == (kind, frames.shape)
    before, after = (f.long().flatten(3).sort(3).values for f in (frames, changed))
    assert torch.equal(before, after), "each step and polarity has the same counts, elsewhere"
    assert not torch.equal(changed, frames.to(kind))


def test_a_flip_mirrors_a_recordings_columns_or_not(frames):
    flipped = random_flip(frames, seed=3, draw=1, index=INDEX)
    heads = [torch.equal(a, b.flip(3)) for a, b in zip(flipped, frames, strict=True)]
    stays = [torch.equal(a, b) for a, b in zip(flipped, frames, strict=True)]
    assert all(h != s for h, s in zip(heads, stays, strict=True))
    assert 10 < sum(heads) < 30
    images = frames[:, 0]
    assert torch.equal(flipped[:, 0], random_flip(images, seed=3, draw=1, index=INDEX)), "as images are"


def test_a_shift_moves_all_frames_of_a_recording_alike(frames):
    shifted = random_crop(frames, seed=3, draw=1, index=INDEX)
    moves = []
    for before, after in zip(frames, shifted, strict=True):
        offsets = {
            tuple((a.nonzero().amin(0) - b.nonzero().amin(0)).tolist())
            for a, b in zip(after.flatten(0, 1), before.flatten(0, 1), strict=True)
        }
        assert len(offsets) == 1, "every step and polarity moved by the same rows and columns"
        moves.append(offsets.pop())
    assert all(-4 <= move <= 4 for pair in moves for move in pair)
    assert {-4, 4} <= {rows for rows, _ in moves}
    assert {-4, 4} <= {columns for _, columns in moves}


def test_what_leaves_the_frame_is_lost():
    frames = torch.ones(8, 1, 1, 3, 3, dtype=torch.uint8)
    shifted = random_crop(frames, seed=0, draw=0, index=torch.arange(8), padding=1)
    assert sorted(set(shifted.flatten(1).sum(1).tolist())) == [4, 6, 9]


@each_row("change", EVENT_AUGMENTATIONS.values())
def test_a_change_follows_recording_and_draw_not_the_batch(change, frames):
    whole = change(frames, seed=3, draw=1, index=INDEX)
    part = change(frames[[7, 2]], seed=3, draw=1, index=torch.tensor([7, 2]))
    assert torch.equal(part, whole[[7, 2]])
    assert not torch.equal(whole, change(frames, seed=3, draw=2, index=INDEX))


def test_the_loader_changes_frames(frames):
    data = FrameSet(frames, INDEX % 2, ("left", "right"), scale=0.5)
    (batch,) = SampleLoader(data, 40, augment=["flip", "shift"], seed=3).epoch(1)
    options = {"seed": 3, "draw": 1, "index": INDEX}
    assert torch.equal(batch.inputs, random_crop(random_flip(frames.float(), **options), **options) / 2)


def test_names_of_images_are_none_of_frames(frames):
    data = FrameSet(frames, INDEX % 2, ("left", "right"))
    with pytest.raises(ValueError, match="unknown augmentation 'crop': choose out of flip, shift"):
        SampleLoader(data, 2, augment=["crop"])
    images = ImageSet(frames[:, 0], INDEX % 2, ("left", "right"))
    with pytest.raises(ValueError, match="unknown augmentation 'shift': choose out of crop, flip, cutout, erase"):
        SampleLoader(images, 2, augment=["shift"])

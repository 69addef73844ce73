"""Events that are moved stay events, and all frames of a recording move alike."""

import pytest
import torch

from bntt.data import FrameSet, SampleLoader
from bntt.data.augment import EVENT_AUGMENTATIONS, random_crop, random_flip
from tests.rows import each_row

INDEX = torch.arange(40)
DRAW = {"seed": 3, "draw": 1}


@pytest.fixture
def frames(rng):
    """Counts far from the border, so that no shift of up to 4 loses one."""
    frames = torch.zeros(40, 3, 2, 20, 22, dtype=torch.uint8)
    frames[..., 6:14, 5:16] = torch.randint(0, 9, (40, 3, 2, 8, 11), generator=rng, dtype=torch.uint8)
    return frames


@each_row("kind", [torch.uint8, torch.float32])
@each_row("change", EVENT_AUGMENTATIONS.values())
def test_counts_are_kept_step_by_step_and_follow_recording_and_draw_not_the_batch(change, kind, frames):
    frames = frames.to(kind)
    changed = change(frames, index=INDEX, **DRAW)
    assert (changed.dtype, changed.shape) == (kind, frames.shape)
    before, after = (f.long().flatten(3).sort(3).values for f in (frames, changed))
    assert torch.equal(before, after), "each step and polarity has the same counts, elsewhere"
    assert not torch.equal(changed, frames)
    assert torch.equal(change(frames[[7, 2]], index=torch.tensor([7, 2]), **DRAW), changed[[7, 2]])
    assert not torch.equal(changed, change(frames, seed=3, draw=2, index=INDEX))


def test_a_flip_mirrors_a_recordings_columns_or_not(frames):
    flipped = random_flip(frames, index=INDEX, **DRAW)
    heads = [torch.equal(a, b.flip(3)) for a, b in zip(flipped, frames, strict=True)]
    stays = [torch.equal(a, b) for a, b in zip(flipped, frames, strict=True)]
    assert all(h != s for h, s in zip(heads, stays, strict=True))
    assert 10 < sum(heads) < 30
    assert torch.equal(flipped[:, 0], random_flip(frames[:, 0], index=INDEX, **DRAW)), "as images are"


def test_a_shift_moves_all_frames_of_a_recording_alike(frames):
    shifted = random_crop(frames, index=INDEX, **DRAW)
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
    lost = random_crop(torch.ones(8, 1, 1, 3, 3), seed=0, draw=0, index=torch.arange(8), padding=1)
    assert sorted(set(lost.flatten(1).sum(1).tolist())) == [4, 6, 9], "what leaves the frame is lost"


def test_the_loader_changes_frames(frames):
    data = FrameSet(frames, INDEX % 2, ("left", "right"), scale=0.5)
    (batch,) = SampleLoader(data, 40, augment=["flip", "shift"], seed=3).epoch(1)
    flipped = random_flip(frames.float(), index=INDEX, **DRAW)
    assert torch.equal(batch.inputs, random_crop(flipped, index=INDEX, **DRAW) / 2)

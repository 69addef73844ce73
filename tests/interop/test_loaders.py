"""Samples as other libraries give them."""

import pytest
import torch
from torch.utils.data import DataLoader, default_collate

import bntt
from bntt import models

T = 4


def trained(loader) -> list:
    net = models.mlp(in_features=128, hidden=(8,), num_classes=3, num_steps=T)
    return list(bntt.Session(bntt.SpikingClassifier(bntt.FrameEncoder(num_steps=T), net), loader, epochs=1).records())


def time_first(batch):
    frames, labels = default_collate(batch)
    return frames.transpose(0, 1), labels


def test_frames_of_int16_train_and_time_first_is_an_error(rng):
    """Frames of events as tonic's ToFrame gives them: counts, int16 ``[T, C, H, W]``, a NumPy array, and a label."""
    counts = torch.randint(0, 3, (6, T, 2, 8, 8), generator=rng, dtype=torch.int16).numpy()
    frames = [(one, place % 3) for place, one in enumerate(counts)]
    floats = [(x.float(), y) for x, y in DataLoader(frames, batch_size=3)]
    assert trained(DataLoader(frames, batch_size=3)) == trained(floats)
    with pytest.raises(ValueError, match="labels"):
        trained(DataLoader(frames, batch_size=3, collate_fn=time_first))

"""Samples as other libraries give them."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import bntt
from bntt import models

T = 4


class Frames(Dataset):
    """Frames of events as tonic's ToFrame gives them: counts, int16 ``[T, C, H, W]``, a NumPy array, and a label."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, place: int):
        generator = torch.Generator().manual_seed(place)
        frames = torch.randint(0, 3, (T, 2, 8, 8), generator=generator, dtype=torch.int16)
        return frames.numpy(), place % 3


def classifier() -> bntt.SpikingClassifier:
    net = models.mlp(in_features=128, hidden=(8,), num_classes=3, num_steps=T)
    return bntt.SpikingClassifier(bntt.FrameEncoder(num_steps=T), net)


def trained(loader) -> list:
    return list(bntt.Session(classifier(), loader, epochs=1).records())


def time_first(batch):
    frames, labels = zip(*batch, strict=True)
    return torch.stack([torch.from_numpy(one) for one in frames], 1), torch.tensor(labels)


def test_frames_of_int16_train_and_time_first_is_an_error_that_names_the_axis():
    assert trained(DataLoader(Frames(), batch_size=3))[-1].samples == 6
    floats = [(x.float(), y) for x, y in DataLoader(Frames(), batch_size=3)]
    assert trained(DataLoader(Frames(), batch_size=3)) == trained(floats)
    with pytest.raises(ValueError, match="labels"):
        trained(DataLoader(Frames(), batch_size=3, collate_fn=time_first))
    with pytest.raises(ValueError, match=r"\[B, T, C, H, W\]"):
        classifier()(torch.zeros(T, 3, 2, 8, 8))

"""Spikes by class, channel and place, against spikes that were recorded one by one."""

import pytest
import torch

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.activity.spike_activity import class_activity
from bntt.data import ImageSet, SampleLoader
from bntt.models import vgg6
from bntt.nn import PoissonEncoder, SpikingClassifier


@pytest.fixture
def data(rng):
    pixels = torch.randint(0, 256, (13, 1, 8, 8), generator=rng, dtype=torch.uint8)
    return ImageSet(pixels, torch.tensor([0, 1, 1, 2, 0, 2, 2, 2, 1, 0, 0, 0, 2]), ("a", "b", "c", "d"))


@pytest.fixture
def model():
    net = vgg6(num_classes=4, num_steps=27, width=0.25, image_size=8, seed=1)  # more steps than are taken at once
    return SpikingClassifier(PoissonEncoder(27, mean=[0.5], std=[0.25]), net).eval()


def recorded(model, data, draws):
    """Every layer's spikes ``[T, N, C, ...]`` of all draws, kept by hooks."""
    kept = {name: [] for name in model.network.layers}
    handles = [
        layer.lif.register_forward_hook(lambda module, args, out, into=kept[name]: into.append(out[0].detach()))
        for name, layer in model.network.layers.items()
    ]
    with torch.no_grad():
        for draw in range(draws):
            for name in kept:
                kept[name].append([])
            model(data.images.float() / 255, seed=2, index=torch.arange(len(data)), draw=FIRST_DRAW + draw)
    for handle in handles:
        handle.remove()
    return {name: torch.cat([part for part in parts if len(part)]) for name, parts in kept.items()}


def test_counts_are_those_of_recorded_spikes(model, data):
    found = class_activity(model, SampleLoader(data, 4), 4, seed=2, draws=2)
    spikes = recorded(model, data, 2)
    for name, all_of in spikes.items():
        by_draw = all_of.double().reshape(2, 27, *all_of.shape[1:])
        assert torch.equal(
            found.total.spikes[name], by_draw.flatten(4).sum((0, 2, -1)) if by_draw.ndim > 4 else by_draw.sum((0, 2))
        )
        for number in range(4):
            chosen = by_draw[:, :, data.labels == number]
            wanted = chosen.flatten(3).sum(3).mean((0, 2)) if chosen.shape[2] else torch.zeros(27).double()
            assert torch.allclose(found.by_class[name][number], wanted)
    assert found.total.presentations == 26


def test_an_empty_batch_adds_nothing(model, data):
    whole = (data.batch(torch.arange(13)), data.labels)
    found, other = (
        class_activity(model, batches, 4).by_class["conv1"]
        for batches in ([whole], [whole, (whole[0][:0], data.labels[:0])])
    )
    assert torch.equal(found, other)

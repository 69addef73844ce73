"""Counted operations of neurons and inputs whose values only add up to spikes: in pairs they look like whole ones."""

import pytest
import torch
from torch import nn

from bntt.analysis.energy.operations import Synaptic, count_operations
from bntt.models import mlp
from bntt.nn import (
    LIF,
    DirectEncoder,
    FrameEncoder,
    NoNorm,
    Readout,
    SpikingBlock,
    SpikingClassifier,
    SpikingNetwork,
)
from tests.kernels import choose
from tests.nn.networks import conv, linear

LABELS = torch.zeros(3, dtype=torch.int64)


class Saying(nn.Module):
    """Neurons that say these values, one in each of the first channels, whatever drives them."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.tensor(values)

    def forward(self, x, call=None, state=None):
        out = torch.zeros(x.shape)
        out.flatten(3)[:, :, : len(self.values), 0] = self.values
        return out, None


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize(
    ("values", "whole"),
    [
        ((1.0, -1.0), True),
        ((2.0, 0.0), True),
        ((0.5, 0.5), False),
        ((1.5, 0.5), False),
        ((0.37, 0.63), False),
        ((0.99, 0.0), False),
    ],
    ids=str,
)
def test_values_that_only_add_up_to_spikes_are_none(values, whole, side, backend):
    """Of neurons of one's own, on the kernels as on modules, and behind an average over the image as without one."""
    first, hidden, last = conv(1, 2, 1, bias=False), linear(2, 6), linear(6, 3)
    for layer in (first, hidden, last):
        nn.init.ones_(layer.weight)
    average = nn.Sequential(nn.AvgPool2d(side), nn.Flatten())
    blocks = {
        "said": SpikingBlock(first, NoNorm(), Saying(values), average),
        "heard": SpikingBlock(hidden, NoNorm(), LIF()),
    }
    net = SpikingNetwork(blocks, Readout(last))
    choose(net, backend=backend)
    model, batches = SpikingClassifier(DirectEncoder(2), net), [(torch.ones(3, 1, side, side), LABELS[:3])]
    if whole:
        events = count_operations(model, batches).layers["heard"].events
        assert events.tolist() == [6 * sum(map(abs, values))] * 2
        return
    with pytest.raises(ValueError, match="what arrives at layer 'heard' is not whole spikes"):
        count_operations(model, batches)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_an_input_that_only_adds_up_to_spikes_is_multiplied(backend):
    """1.5 + 0.5 in place of two ones: real numbers, as direct coding gives them; or the ones, as spikes come."""
    found = []
    for values in ((1.5, 0.5, 0.0, 1.0), (1.0, 1.0, 0.0, -1.0)):
        net = mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=2, seed=1)
        choose(net, backend=backend)
        frames = torch.tensor(values).expand(1, 2, 4)
        found.append(count_operations(SpikingClassifier(FrameEncoder(2), net), [(frames, LABELS[:1])]).layers["fc1"])
    assert [layer.arrives for layer in found] == ["analog", "spikes"]
    assert [layer.synaptic() for layer in found] == [Synaptic(0, 48), Synaptic(48, 0)]

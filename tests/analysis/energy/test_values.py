"""Values that are counted as spikes, and those that are multiplied: of an ANN, of parts of one's own."""

import pytest
import torch
from torch import nn

import bntt
from bntt.analysis.energy.operations import count_operations
from bntt.models import mlp
from bntt.nn import (
    LIF,
    DirectEncoder,
    ExpectedEncoder,
    FrameEncoder,
    NoNorm,
    PoissonEncoder,
    Readout,
    Rectifier,
    SpikingBlock,
    SpikingClassifier,
    SpikingNetwork,
)
from tests.analysis.energy.test_operations import weights
from tests.kernels import choose
from tests.nn.networks import conv, linear

T, IMAGES = 5, 7


def test_nothing_is_counted_of_those_who_left(rng):
    """Who leaves after which step is known beforehand: operations are those of passes stopped there."""
    net = mlp(in_features=16, hidden=(8, 8), num_classes=3, num_steps=5, seed=1)
    model = SpikingClassifier(PoissonEncoder(5, mean=[0.5], std=[0.25]), net).double()
    pixels = torch.rand(6, 1, 4, 4, generator=rng, dtype=torch.float64)
    batches = [(pixels, torch.zeros(6, dtype=torch.int64))]
    alone = [
        count_operations(model, OneOf(pixels, row), seed=3).synaptic(steps).additions
        for row, steps in enumerate((1, 2, 2, 5, 5, 5))
    ]
    took = iter([[0], [0, 1], []])

    def leaves(logits):
        gone = torch.zeros(len(logits), dtype=torch.bool)
        gone[next(took, [])] = True
        return gone

    found = count_operations(model, batches, seed=3, leaves=leaves)
    assert found.synaptic().additions == pytest.approx(sum(alone) / 6)
    whole = count_operations(model, batches, seed=3)
    everyone = count_operations(model, batches, seed=3, leaves=lambda logits: torch.ones(len(logits), dtype=torch.bool))
    assert everyone.synaptic().additions == whole.synaptic(1).additions
    assert everyone.accuracy.over_time == (whole.accuracy.over_time[0],) * 5


class OneOf:
    """A loader of one sample, by its own number."""

    def __init__(self, pixels, row):
        self.pixels, self.row = pixels, row

    def __len__(self):
        return 1

    def epoch(self, draw):
        row = self.row
        yield self.pixels[row : row + 1], torch.zeros(1, dtype=torch.int64), torch.tensor([row])


def test_an_ann_multiplies_what_is_not_zero():
    """Inputs -1/2, 0, 1/2, 1/2 of which three count; fc1 rectifies drives 1/2, -1/2 and 1 (weights by hand)."""
    one, last = linear(4, 3), linear(3, 2)
    with torch.no_grad():
        one.weight.copy_(torch.tensor([[0.0, 9.0, 1.0, 0.0], [1.0, 9.0, 0.0, 0.0], [0.0, 9.0, 1.0, 1.0]]))
        last.weight.fill_(1.0)
    images = torch.tensor([0.25, 0.5, 0.75, 0.75])
    flat = nn.Sequential(nn.Flatten(), one)
    ann = SpikingNetwork({"fc1": SpikingBlock(flat, NoNorm(), Rectifier())}, Readout(last))
    model = bntt.SpikingClassifier(ExpectedEncoder(1, mean=0.5, std=0.25), ann)
    found = count_operations(model, [(images.reshape(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64))])
    fc1, readout = found.layers.values()
    assert (fc1.arrives, readout.arrives) == ("analog", "analog")
    assert (fc1.active.tolist(), readout.active.tolist()) == ([3 * 3], [2 * 2])
    assert found.synaptic() == found.synaptic(price="values") == weights(0, 13)
    assert found.dense == 4 * 3 + 3 * 2
    assert found.spikes() == 0
    assert (fc1.update_additions.tolist(), fc1.update_multiplications.tolist(), fc1.ann_updates) == ([3], [0], 3)


class Saying(nn.Module):
    """Neurons that say these values, one in each of the first channels, whatever drives them."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.tensor(values)

    def forward(self, x, call=None, state=None):
        out = torch.zeros(x.shape)
        out.flatten(3)[:, :, : len(self.values), 0] = self.values
        return out, None


@pytest.mark.parametrize(
    ("values", "whole", "side", "backend"),
    [
        ((1.0, -1.0), True, 1, "auto"),
        ((2.0, 0.0), True, 2, "reference"),
        ((0.5, 0.5), False, 2, "auto"),
        ((1.5, 0.5), False, 1, "reference"),
    ],
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
    model, batches = (
        SpikingClassifier(DirectEncoder(2), net),
        [(torch.ones(3, 1, side, side), torch.zeros(3, dtype=torch.int64))],
    )
    if whole:
        events = count_operations(model, batches).layers["heard"].events
        assert events.tolist() == [6 * sum(map(abs, values))] * 2
        return
    with pytest.raises(ValueError, match="'heard'"):
        count_operations(model, batches)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_an_input_that_only_adds_up_to_spikes_is_multiplied(backend):
    """1.5 + 0.5 in place of two ones: real numbers, as direct coding gives them; or the ones, as spikes come."""
    found = []
    for values in ((1.5, 0.5, 0.0, 1.0), (1.0, 1.0, 0.0, -1.0)):
        net = mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=2, seed=1)
        choose(net, backend=backend)
        batches = [(torch.tensor(values).expand(1, 2, 4), torch.zeros(1, dtype=torch.int64))]
        found.append(count_operations(SpikingClassifier(FrameEncoder(2), net), batches).layers["fc1"])
    assert [layer.arrives for layer in found] == ["analog", "spikes"]
    assert [layer.synaptic() for layer in found] == [weights(0, 48), weights(48, 0)]

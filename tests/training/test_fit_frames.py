"""Training on samples that have time in them: classes that only the order in time tells apart."""

import pytest
import torch
from torch import Tensor, nn

from bntt.analysis import evaluate
from bntt.data import FrameSet, SampleLoader, split_validation
from bntt.models import mlp
from bntt.nn import BNTT, LIF, FrameEncoder, Readout, SpikingBlock, SpikingClassifier, SpikingNetwork
from bntt.training import updates
from tests.kernels import choose

T = 6


def in_order(*shape: int, kind: torch.dtype = torch.uint8) -> FrameSet:
    """Two channels that each light up once; the first to do so names the class, and sums over time are the same."""
    generator, count = torch.Generator().manual_seed(1), 160
    labels, every = torch.arange(count) % 2, torch.arange(count)
    early, late = (torch.randint(0, T // 2, (count,), generator=generator) + begin for begin in (0, T // 2))
    frames = torch.zeros(count, T, *shape)
    for channel in (0, 1):
        frames[every, torch.where(labels == channel, early, late), channel] = 3
    assert len(frames.sum(1).unique(dim=0)) == 1
    return FrameSet(frames.to(kind), labels, ("first", "second"), scale=0.5)


def fully_connected(features: int) -> SpikingNetwork:
    return mlp(in_features=features, hidden=(16,), num_classes=2, num_steps=T, leak=0.9, seed=1)


def convolutional() -> SpikingNetwork:
    weights = torch.Generator().manual_seed(1)
    synapse, out = nn.utils.skip_init(nn.Conv2d, 2, 8, 3, padding=1), nn.utils.skip_init(nn.Linear, 32, 2)
    for parameter in (*synapse.parameters(), *out.parameters()):
        nn.init.normal_(parameter, std=0.3, generator=weights)
    pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    return SpikingNetwork({"conv1": SpikingBlock(synapse, BNTT(8, num_steps=T), LIF(0.9), pool)}, Readout(out))


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(
    ("data", "network"),
    [
        (lambda: in_order(2), lambda: fully_connected(2)),
        (lambda: in_order(2, kind=torch.float32), lambda: fully_connected(2)),
        (lambda: in_order(2, 4, 4, kind=torch.uint16), lambda: fully_connected(32)),
        (lambda: in_order(2, 4, 4), convolutional),
    ],
    ids=["sequences", "real sequences", "frames", "frames, convolutional"],
)
def test_the_order_in_time_is_learned(data, network, backend):
    """Above chance on samples that were held out; the same samples backwards in time are the other class."""
    training, held_out, _ = split_validation(data(), 60, seed=0)
    net = network()
    choose(net, backend=backend)
    model = SpikingClassifier(FrameEncoder(T), net)
    for _ in updates(model, SampleLoader(training, 25, shuffle=True), epochs=15):
        pass
    forwards = SampleLoader(held_out, 60)

    def backwards() -> tuple[Tensor, Tensor]:
        batch = next(forwards.epoch(0))
        return batch.inputs.flip(1), batch.labels

    assert evaluate(model, forwards, draws=1).accuracy.mean > 0.9
    assert evaluate(model, [backwards()], draws=1).accuracy.mean < 0.1

"""Training on samples that have time in them: classes that only the order in time tells apart."""

import torch
from torch import nn

from bntt.analysis import evaluate
from bntt.data import FrameSet, ImageSet, SampleLoader, SequenceSet, split_validation
from bntt.models import mlp
from bntt.nn import BNTT, LIF, FrameEncoder, Readout, SequenceEncoder, SpikingBlock, SpikingClassifier, SpikingNetwork
from bntt.training import Method, updates
from tests.kernels import choose
from tests.rows import each_row

T = 6


def in_order():
    """Two channels that each light up once; the first to do so names the class, and sums over time are the same."""
    generator, count = torch.Generator().manual_seed(1), 160
    labels, every = torch.arange(count) % 2, torch.arange(count)
    early, late = (torch.randint(0, T // 2, (count,), generator=generator) + begin for begin in (0, T // 2))
    frames = torch.zeros(count, T, 2, 4, 4)
    for channel in (0, 1):
        frames[every, torch.where(labels == channel, early, late), channel] = 3
    assert len(frames.sum(1).unique(dim=0)) == 1
    return FrameSet(frames.to(torch.uint16), labels, ("first", "second"), scale=0.5)


def bars():
    """A bright row near the top or near the bottom: told row by row, the classes differ in when it comes alone."""
    generator, count = torch.Generator().manual_seed(1), 160
    labels = torch.arange(count) % 2
    row = torch.randint(0, 3, (count,), generator=generator) + 3 * labels
    images = torch.randint(0, 60, (count, 1, 6, 4), generator=generator, dtype=torch.uint8)
    images[torch.arange(count), 0, row] = 255
    return ImageSet(images, labels, ("top", "bottom"))


def convolutional():
    weights = torch.Generator().manual_seed(1)
    synapse, out = nn.utils.skip_init(nn.Conv2d, 2, 8, 3, padding=1), nn.utils.skip_init(nn.Linear, 32, 2)
    for parameter in (*synapse.parameters(), *out.parameters()):
        nn.init.normal_(parameter, std=0.3, generator=weights)
    pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    return SpikingNetwork({"conv1": SpikingBlock(synapse, BNTT(8, num_steps=T), LIF(0.9), pool)}, Readout(out))


def frames():
    return SpikingClassifier(FrameEncoder(T), convolutional()), in_order()


def sequences():
    data = SequenceSet(bars(), "rows")
    training, _, _ = split_validation(data, 60, seed=0)
    mean, std = training.images.pixel_statistics()
    net = mlp(in_features=data.features, hidden=(16,), num_classes=2, num_steps=data.num_steps, leak=0.9, seed=1)
    return SpikingClassifier(SequenceEncoder(data.num_steps, mean=mean, std=std), net), data


def trained(model, data):
    training, held_out, _ = split_validation(data, 60, seed=0)
    for _ in updates(model, SampleLoader(training, 25, shuffle=True), epochs=20, method=Method(lr=0.1)):
        pass
    return SampleLoader(held_out, 60)


@each_row("made, backend", [(frames, "reference"), (sequences, "auto")])
def test_the_order_in_time_is_learned(made, backend):
    """Above chance on samples that were held out; the same samples backwards in time are the other class."""
    model, data = made()
    choose(model.network, backend=backend)
    held_out = trained(model, data)
    batch = next(held_out.epoch(0))
    assert evaluate(model, held_out, draws=1).accuracy.mean > 0.9
    assert evaluate(model, [(batch.inputs.flip(1), batch.labels)], draws=1).accuracy.mean < 0.1

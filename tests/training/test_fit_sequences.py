"""Training on sequences of images: the same pixels in the order in which they are learned, with every norm."""

import pytest
import torch

from bntt.analysis import evaluate
from bntt.data import ImageSet, SampleLoader, SequenceSet, split_validation
from bntt.models import mlp
from bntt.nn import NORMS, SequenceEncoder, SpikingClassifier
from bntt.training import Method, updates
from tests.kernels import choose
from tests.rows import each_row


def bars() -> ImageSet:
    """A bright row near the top or near the bottom: told row by row, the classes differ in when it comes alone."""
    generator, count = torch.Generator().manual_seed(1), 160
    labels = torch.arange(count) % 2
    row = torch.randint(0, 3, (count,), generator=generator) + 3 * labels
    images = torch.randint(0, 60, (count, 1, 6, 4), generator=generator, dtype=torch.uint8)
    images[torch.arange(count), 0, row] = 255
    return ImageSet(images, labels, ("top", "bottom"))


def trained(order, norm, backend="auto"):
    data = SequenceSet(bars(), order)
    training, held_out, _ = split_validation(data, 60, seed=0)
    net = mlp(
        in_features=data.features, hidden=(16,), num_classes=2, num_steps=data.num_steps, leak=0.9, norm=norm, seed=1
    )
    choose(net, backend=backend)
    mean, std = training.images.pixel_statistics()
    model = SpikingClassifier(SequenceEncoder(data.num_steps, mean=mean, std=std), net)
    for _ in updates(model, SampleLoader(training, 25, shuffle=True), epochs=20, method=Method(lr=0.1)):
        pass
    return model, SampleLoader(held_out, 60)


@each_row("backend", ["auto", "reference"])
def test_the_order_in_time_is_learned(backend):
    """Above chance on what was held out, and the images upside down are the other class."""
    model, held_out = trained("rows", "bntt", backend)
    batch = next(held_out.epoch(0))
    assert evaluate(model, held_out, draws=1).accuracy.mean > 0.9
    assert evaluate(model, [(batch.inputs.flip(1), batch.labels)], draws=1).accuracy.mean < 0.1


@pytest.mark.parametrize(
    "norm", [pytest.param(norm, marks=() if norm == "bntt" else pytest.mark.slow) for norm in NORMS]
)
def test_every_norm_learns_pixel_by_pixel(norm):
    model, held_out = trained("pixels", norm)
    assert evaluate(model, held_out, draws=1).accuracy.mean > 0.7

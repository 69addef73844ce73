"""Every image counted, every draw fresh, nothing changed."""

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.data import ImageSet, SampleLoader
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier


@pytest.fixture
def model():
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, seed=1)
    return SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), net).double()


@pytest.fixture
def data(rng):
    pixels = torch.randint(0, 256, (23, 1, 4, 4), generator=rng, dtype=torch.uint8)
    return ImageSet(pixels, torch.arange(23) % 3, ("a", "b", "c"))


class DoubleLoader(SampleLoader):
    def epoch(self, draw):
        return (batch._replace(inputs=batch.inputs.double()) for batch in super().epoch(draw))


@pytest.mark.parametrize("batch_size", [1, 4, 23])
def test_every_image_is_counted_whatever_the_batches(model, data, batch_size):
    """T3, N9: 23 images in batches of any size give the same integers."""
    found = evaluate(model, DoubleLoader(data, batch_size), draws=2)
    whole = evaluate(model, DoubleLoader(data, 100), draws=2)
    assert found.accuracy == whole.accuracy
    assert found.accuracy.samples == 23
    assert found.activity.presentations == 46
    assert all(torch.equal(found.activity.spikes[n], v) for n, v in whole.activity.spikes.items())


def test_counts_are_those_of_the_model(model, data):
    images, index = data.images.double() / 255, torch.arange(23)
    found = evaluate(model, DoubleLoader(data, 100), seed=9, draws=3)
    for draw in range(3):
        trace = model.trace(images, seed=9, index=index, draw=FIRST_DRAW + draw)
        hits = (trace.logits.argmax(2) == data.labels).sum(1)
        assert found.accuracy.correct[draw] == tuple(hits.tolist())
        assert torch.equal(found.right[draw], trace.logits[-1].argmax(1) == data.labels)
    assert torch.equal(evaluate(model, DoubleLoader(data, 4), seed=9, draws=3).right, found.right)


def test_the_model_is_left_as_it_was(model, data):
    before = {n: v.clone() for n, v in model.state_dict().items()}
    model.train()
    evaluate(model, DoubleLoader(data, 10), draws=1)
    assert model.training
    assert all(torch.equal(v, model.state_dict()[n]) for n, v in before.items())


def test_progress_counts_images(model, data):
    seen = []
    evaluate(model, DoubleLoader(data, 10), draws=2, progress=seen.append)
    assert seen == [8, 8, 7] * 2


def test_draws_must_be_positive(model, data):
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        evaluate(model, DoubleLoader(data, 10), draws=0)


def test_a_plain_loader_of_pairs_works(model, data):
    dataset = torch.utils.data.TensorDataset(data.images.double() / 255, data.labels)
    pairs = torch.utils.data.DataLoader(dataset, batch_size=10, generator=torch.Generator())
    assert evaluate(model, pairs, draws=2).accuracy == evaluate(model, DoubleLoader(data, 23), draws=2).accuracy


@pytest.mark.parametrize("convert", [lambda y: y.int(), lambda y: y.numpy().astype("u1"), lambda y: y.tolist()])
def test_labels_of_any_integers(convert, model, data):
    pairs = [(data.images.double() / 255, convert(data.labels))]
    assert evaluate(model, pairs, draws=2).accuracy == evaluate(model, DoubleLoader(data, 23), draws=2).accuracy


def test_labels_outside_the_classes(model, data):
    with pytest.raises(ValueError, match="labels must be integers from 0 to 2"):
        evaluate(model, [(data.images.double() / 255, data.labels + 1)], draws=1)


def test_a_pass_that_stops_early_counts_what_the_whole_one_did_until_there(model, data):
    whole = evaluate(model, DoubleLoader(data, 10), draws=2)
    short = evaluate(model, DoubleLoader(data, 10), draws=2, steps=3)
    assert short.accuracy.over_time == whole.accuracy.over_time[:3]
    assert all(torch.equal(short.activity.spikes[n], v[:3]) for n, v in whole.activity.spikes.items())
    for steps in (0, 5):
        with pytest.raises(ValueError, match="stops after 1 to 4 steps"):
            evaluate(model, DoubleLoader(data, 10), steps=steps)

"""Every image counted, every draw fresh, nothing changed; batches step by step; two networks on the same images."""

import math

import pytest
import torch

from bntt.analysis import Activity, evaluate, paired
from bntt.analysis.accuracy.evaluation import FIRST_DRAW, advance_batch
from bntt.data import ImageSet, SampleLoader
from bntt.engine.compute import Compute
from bntt.models import mlp
from bntt.nn import Measure, PoissonEncoder, SpikingClassifier
from bntt.nn.network.measured import joined


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


def test_every_image_is_counted_whatever_the_batches(model, data):
    """23 images in batches of any size give the same integers."""
    whole = evaluate(model, DoubleLoader(data, 100), draws=2)
    assert (whole.accuracy.samples, whole.activity.presentations) == (23, 46)
    for batch_size in (4, 23):
        found = evaluate(model, DoubleLoader(data, batch_size), draws=2)
        assert found.accuracy == whole.accuracy
        assert found.activity.presentations == 46
        assert all(torch.equal(found.activity.spikes[n], v) for n, v in whole.activity.spikes.items())


def test_counts_are_those_of_the_model(model, data):
    images, index = data.images.double() / 255, torch.arange(23)
    seen = []
    found = evaluate(model, DoubleLoader(data, 10), seed=9, draws=3, progress=seen.append)
    assert seen == [8, 8, 7] * 3
    for draw in range(3):
        trace = model.trace(images, seed=9, index=index, draw=FIRST_DRAW + draw)
        hits = (trace.logits.argmax(2) == data.labels).sum(1)
        assert found.accuracy.correct[draw] == tuple(hits.tolist())
        assert torch.equal(found.right[draw], trace.logits[-1].argmax(1) == data.labels)
    assert torch.equal(evaluate(model, DoubleLoader(data, 4), seed=9, draws=3).right, found.right)


def test_plain_pairs_with_labels_of_any_integers_work(model, data):
    images, y = data.images.double() / 255, data.labels
    dataset = torch.utils.data.TensorDataset(images, y)
    loaders = [torch.utils.data.DataLoader(dataset, batch_size=10, generator=torch.Generator())]
    loaders += [[(images, labels)] for labels in (y.int(), y.numpy().astype("u1"), y.tolist())]
    wanted = evaluate(model, DoubleLoader(data, 23), draws=2).accuracy
    assert [evaluate(model, loader, draws=2).accuracy for loader in loaders] == [wanted] * 4


def test_a_pass_that_stops_early_counts_what_the_whole_one_did_until_there(model, data):
    whole = evaluate(model, DoubleLoader(data, 10), draws=2)
    short = evaluate(model, DoubleLoader(data, 10), draws=2, steps=3)
    assert short.accuracy.over_time == whole.accuracy.over_time[:3]
    assert all(torch.equal(short.activity.spikes[n], v[:3]) for n, v in whole.activity.spikes.items())
    for steps in (0, 5):
        with pytest.raises(ValueError, match="the encoder has 4 time steps"):
            evaluate(model, DoubleLoader(data, 10), steps=steps)


def classifier(steps=27, **options):
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=steps, seed=1)
    net.compute = Compute(**options)
    return SpikingClassifier(PoissonEncoder(steps, mean=[0.5], std=[0.25]), net).eval()


@pytest.fixture
def images(rng):
    return torch.rand(5, 1, 4, 4, generator=rng)


@torch.no_grad()
def test_a_batch_advances_in_parts_as_in_one(images):
    for backend, sizes in (("auto", [25, 2]), ("reference", [1] * 27)):
        net = classifier(backend=backend)
        parts = list(advance_batch(net, images, Measure(spikes=True), {"seed": 4, "draw": 7}))
        assert [len(logits) for logits, _, _ in parts] == sizes
        trace = net.trace(images, seed=4, draw=7)
        assert torch.equal(torch.cat([logits for logits, _, _ in parts]), trace.logits)
        assert torch.equal(joined([measured for _, measured, _ in parts])["fc1"].spikes, trace.spikes["fc1"])


@torch.no_grad()
def test_those_who_left_are_not_asked_again(images):
    net, asked = classifier(steps=6), []

    def leaves(logits):
        asked.append(len(logits))
        return torch.arange(len(logits)) % 2 == 0

    parts = list(advance_batch(net, images, Measure(spikes=True), {"seed": 4}, leaves=leaves))
    assert asked == [5, 2, 1]
    assert [there.tolist() for _, _, there in parts] == [[0, 1, 2, 3, 4], [1, 3], [3]]
    whole = net.trace(images, seed=4).logits
    for t, (logits, _, there) in enumerate(parts):
        assert torch.allclose(logits[0], whole[t, there], atol=1e-6)


def answers(both, one, other, neither):
    """Two networks' answers to so many images, one draw each."""
    ours = [True] * (both + one) + [False] * (other + neither)
    theirs = [True] * both + [False] * one + [True] * other + [False] * neither
    return torch.tensor([ours]), torch.tensor([theirs])


def test_a_published_paired_interval():
    """R's PropCIs, diffpropci.mp(b = 40, c = 20, n = 160), prints this interval of c - b."""
    ours, theirs = answers(50, 20, 40, 50)
    found, turned = paired(ours, theirs), paired(theirs, ours)
    assert found.interval == pytest.approx((-0.21601726, -0.03089632), abs=1e-7)
    assert found.difference == -turned.difference == pytest.approx(-20 / 160)
    assert turned.interval == pytest.approx((0.03089632, 0.21601726), abs=1e-7)


def test_draws_are_averaged_image_by_image():
    ours = torch.tensor([[True, False, True], [True, True, True]])
    theirs = torch.tensor([[False, False, True]])
    d = torch.tensor([1.0, 0.5, 0.0]).double()
    middle = float(d.sum()) / 5
    half = 1.959964 * math.sqrt(((float(d @ d) + 1) / 5 - middle**2) / 5)
    found = paired(ours, theirs)
    assert found.difference == pytest.approx(0.5)
    assert found.interval == pytest.approx((middle - half, min(1, middle + half)))


def test_the_largest_and_the_smallest_difference():
    right = torch.ones(3, 100, dtype=torch.bool)
    low, high = paired(right, right).interval
    assert 0 < high == -low < 0.05, "two that always agree are not known to be alike"
    found = paired(right[:1, :5], ~right[:1, :5])
    assert found.difference == found.interval[1] == 1


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="the same images, got 3 and 4"):
        paired(torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool))


def test_rates_by_hand():
    a = Activity(
        2,
        {"conv1": torch.tensor([[3.0, 1.0], [0.0, 2.0]]), "fc1": torch.tensor([[1.0], [0.0]])},
        {"conv1": 4, "fc1": 1},
    )
    assert a.rate("conv1").tolist() == [0.5, 0.25]
    assert a.rate("fc1").tolist() == [0.5, 0.0]
    assert a.spike_rate("conv1") == pytest.approx(6 / 8)
    assert a.spikes_per_sample() == pytest.approx(3.5)

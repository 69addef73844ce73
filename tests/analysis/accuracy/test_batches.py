"""A batch passes in any number of steps at a time as it does in one, and those who left are not asked again."""

import pytest
import torch

from bntt.analysis.accuracy.batches import passing
from bntt.engine.compute import Compute
from bntt.models import mlp
from bntt.nn import Measure, PoissonEncoder, SpikingClassifier
from bntt.nn.blocks.stage import SpikingLayer
from bntt.nn.network.measured import joined


def model(steps=27, **options):
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=steps, seed=1)
    net.compute = Compute(**options)
    return SpikingClassifier(PoissonEncoder(steps, mean=[0.5], std=[0.25]), net).eval()


@pytest.fixture
def images(rng):
    return torch.rand(5, 1, 4, 4, generator=rng)


@torch.no_grad()
@pytest.mark.parametrize(("backend", "sizes"), [("auto", [25, 2]), ("reference", [1] * 27)])
def test_all_steps_pass(images, backend, sizes):
    net = model(backend=backend)
    parts = list(passing(net, images, Measure(spikes=True), {"seed": 4, "draw": 7}))
    assert [len(part.logits) for part in parts] == sizes
    trace = net.trace(images, seed=4, draw=7)
    assert torch.equal(torch.cat([part.logits for part in parts]), trace.logits)
    assert torch.equal(joined([part.measured for part in parts])["fc1"].spikes, trace.spikes["fc1"])


@torch.no_grad()
def test_those_who_left_are_not_asked_again(images):
    net, asked = model(steps=6), []

    def leaves(logits):
        asked.append(len(logits))
        return torch.arange(len(logits)) % 2 == 0

    parts = list(passing(net, images, Measure(spikes=True), {"seed": 4}, leaves=leaves))
    assert asked == [5, 2, 1]
    assert [part.there.tolist() for part in parts] == [[0, 1, 2, 3, 4], [1, 3], [3]]
    whole = net.trace(images, seed=4).logits
    for t, part in enumerate(parts):
        assert torch.allclose(part.logits[0], whole[t, part.there], atol=1e-6)


@torch.no_grad()
def test_weights_beside_the_layers_are_measured(images):
    net = model(steps=3)
    beside = {"readout": SpikingLayer("readout", net.network.readout, None, None)}
    parts = list(passing(net, images, Measure(spikes=True, arrivals=True), {}, beside=beside))
    found = joined([part.measured for part in parts])
    assert torch.equal(found["readout"].arrivals.amount.flatten(), found["fc1"].spikes.sum(1))

"""What is measured of blocks that run as modules: against what the modules themselves are given and give."""

import itertools
import threading

import pytest
import torch
from torch import nn

from bntt.engine.graph.recording import distribution
from bntt.nn import BNTT, LIF, Call, Measure, SpikingBlock
from bntt.nn.blocks import SpikingLayer
from bntt.nn.network.measured import membrane_at, watching, weights_of

EVERYTHING = Measure(
    spikes=True, places=True, samples=True, current=(-0.5, 0.5, 1.0), moments=True, gradient=True, arrivals=True
)


@pytest.fixture
def block(rng):
    conv = nn.utils.skip_init(nn.Conv2d, 2, 3, 3, padding=1, bias=False)
    nn.init.normal_(conv.weight, generator=rng)
    return SpikingBlock(conv, BNTT(3, num_steps=4), LIF(0.9), nn.AvgPool2d(2)).double()


def measured(block, x, cut, measure=EVERYTHING):
    state, first = None, 0
    with watching({"it": block.layers[0]}, x, measure) as found:
        out = []
        for part in x.split(cut):
            y, state = block(part, Call(first), state)
            out.append(y)
            first += len(part)
    return found["it"], torch.cat(out)


@pytest.mark.parametrize("cut", [4, 1, 3])
def test_everything_that_can_be_asked_for(block, cut, rng):
    x = torch.randn(4, 5, 2, 6, 6, generator=rng, dtype=torch.float64)
    found, out = measured(block, x, cut)
    other = SpikingBlock(block.synapse, BNTT(3, num_steps=4).double(), block.lif, block.pool)
    synaptic = block.synapse(x.flatten(0, 1)).unflatten(0, (4, 5))
    synaptic.retain_grad()
    current, _ = other.norm(synaptic)
    spikes, _ = other.lif(current)
    assert found.neurons == 3 * 36
    assert torch.allclose(found.arrivals.amount, x.abs().sum((1, 2)))
    assert torch.equal(found.arrivals.active, (x != 0).sum((1, 2)))
    assert torch.equal(found.spikes, spikes.sum((1, 3, 4)).detach())
    assert torch.equal(found.places, spikes.sum(1).detach())
    assert torch.equal(found.samples, spikes.sum((2, 3, 4)).detach())
    bins = list(itertools.pairwise((-torch.inf, -0.5, 0.5, 1.0, torch.inf)))
    for t in range(4):
        inside = [int(((current[t] >= low) & (current[t] < high)).sum()) for low, high in bins]
        assert found.current.histogram[t].tolist() == inside
    assert torch.allclose(found.current.maximum, current.detach().flatten(1).amax(1))
    assert torch.allclose(found.moments.mean, synaptic.detach().mean((1, 3, 4)))
    assert torch.allclose(found.moments.var, synaptic.detach().var((1, 3, 4), unbiased=False))
    assert found.moments.count == (180,) * 4
    assert found.gradient.isnan().all()
    weights = torch.randn(out.shape, generator=rng, dtype=torch.float64)
    (out * weights).sum().backward()
    (torch.stack([other.pool(s) for s in spikes]) * weights).sum().backward()
    assert torch.allclose(found.gradient, synaptic.grad.flatten(1).norm(dim=1), rtol=1e-10)
    assert found.gradient.gt(0).all()


def test_nothing_asked_for_is_nothing_hooked(block, rng):
    x = torch.randn(2, 5, 2, 6, 6, generator=rng, dtype=torch.float64)
    with watching({"it": block.layers[0]}, x, Measure()) as found:
        assert not block.lif._forward_hooks
        block(x, Call())
    assert found == {}
    with watching({"it": block.layers[0]}, x, Measure(samples=True)) as found:
        block(x, Call())
    assert not block.lif._forward_hooks
    assert not block.norm._forward_pre_hooks
    assert not block.synapse._forward_pre_hooks
    assert (found["it"].spikes, found["it"].moments, found["it"].gradient) == (None, None, None)


def test_hooks_go_also_after_an_error(block):
    with pytest.raises(KeyError), watching({"it": block.layers[0]}, torch.zeros(2, 5), EVERYTHING):
        raise KeyError
    assert not block.lif._forward_hooks


def test_a_layer_that_was_not_called_for_every_step_is_named(block, rng):
    x = torch.randn(2, 5, 2, 6, 6, generator=rng, dtype=torch.float64)
    with (
        pytest.raises(TypeError, match="layer 'it' cannot be measured: its norm was called for 2 of 3 steps"),
        watching({"it": block.layers[0]}, torch.zeros(3, 5), EVERYTHING),
    ):
        block(x, Call())


def test_other_threads_are_not_watched(block, rng):
    x = torch.randn(2, 5, 2, 6, 6, generator=rng, dtype=torch.float64)
    with watching({"it": block.layers[0]}, x, Measure(spikes=True)) as found:
        other = threading.Thread(target=lambda: block(x, Call()))
        other.start()
        other.join()
        spikes, _ = block(x, Call())
    assert found["it"].spikes.shape == (2, 3)
    assert spikes.shape[0] == 2


def test_a_current_on_an_edge_is_above_it():
    found = distribution(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), (0.0, 1.0))
    assert found.histogram.tolist() == [[0, 1, 3]]
    assert found.maximum.tolist() == [5]


def test_one_neuron_of_every_sample():
    membrane = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert membrane_at("it", membrane, (1, 0, 1)).tolist() == [[membrane[0, 1, 0, 1], membrane[1, 1, 0, 1]]]
    with pytest.raises(ValueError, match=r"layer 'it' has neurons \[3, 2, 2\], there is none at \[1, 0, 2\]"):
        membrane_at("it", membrane, (1, 0, 2))
    with pytest.raises(TypeError, match="no membrane to measure, but a tuple"):
        membrane_at("it", (membrane, None), (0,))


def test_weights_that_are_not_one_layer_are_named():
    layer = SpikingLayer(
        "fc1", nn.Sequential(nn.Linear(4, 4, device="meta"), nn.Linear(4, 2, device="meta")), None, None
    )
    with pytest.raises(TypeError, match="weights of layer 'fc1' cannot be counted: its synapse, a Sequential"):
        weights_of(layer)
    with pytest.raises(TypeError, match="a Bilinear"):
        weights_of(layer._replace(synapse=nn.Bilinear(2, 2, 2, device="meta")))
    with pytest.raises(TypeError, match="a Sequential"):
        weights_of(layer._replace(synapse=nn.Sequential(nn.Linear(4, 4, device="meta"), nn.PReLU())))
    assert weights_of(layer._replace(synapse=None)) is None

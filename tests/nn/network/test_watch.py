"""What is measured of blocks that run as modules: against what the modules themselves are given and give."""

import itertools
import threading

import pytest
import torch
from torch import nn

from bntt.engine.graph.recording import distribution
from bntt.nn import BNTT, LIF, Call, Measure, SpikingBlock
from bntt.nn.network.measured import membrane_at, watching
from tests.nn.network.test_measured import EVERYTHING


@pytest.fixture
def block(rng):
    conv = nn.utils.skip_init(nn.Conv2d, 2, 3, 3, padding=1, bias=False)
    nn.init.normal_(conv.weight, generator=rng)
    return SpikingBlock(conv, BNTT(3, num_steps=4), LIF(0.9), nn.AvgPool2d(2)).double()


@pytest.fixture
def x(rng):
    return torch.randn(4, 5, 2, 6, 6, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("cut", [4, 1, 3])
def test_everything_that_can_be_asked_for(block, x, cut, rng):
    state, first, out = None, 0, []
    with watching({"it": block.layers[0]}, x, EVERYTHING) as measured:
        for part in x.split(cut):
            y, state = block(part, Call(first), state)
            out.append(y)
            first += len(part)
    found, out = measured["it"], torch.cat(out)
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
    bins = list(itertools.pairwise((-torch.inf, -0.5, 0.0, 1.0, torch.inf)))
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


def test_nothing_asked_for_is_nothing_hooked(block, x):
    with watching({"it": block.layers[0]}, x, Measure()) as found:
        assert not block.lif._forward_hooks
        block(x, Call())
    assert found == {}
    with watching({"it": block.layers[0]}, x, Measure(samples=True)) as found:
        block(x, Call())
    assert (found["it"].spikes, found["it"].moments, found["it"].gradient) == (None, None, None)
    with pytest.raises(KeyError), watching({"it": block.layers[0]}, x, EVERYTHING):
        raise KeyError
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in block.modules()), "after an error too"


def test_a_layer_that_was_not_called_for_every_step_is_named(block, x):
    with pytest.raises(TypeError, match="'it'"), watching({"it": block.layers[0]}, x, EVERYTHING):
        block(x[:3], Call())


def test_other_threads_are_not_watched(block, x):
    with watching({"it": block.layers[0]}, x, Measure(spikes=True)) as found:
        other = threading.Thread(target=lambda: block(x, Call()))
        other.start()
        other.join()
        block(x, Call())
    assert found["it"].spikes.shape == (4, 3)


def test_a_current_on_an_edge_is_above_it_and_one_neuron_is_of_every_sample():
    found = distribution(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), (0.0, 1.0))
    assert found.histogram.tolist() == [[0, 1, 3]]
    assert found.maximum.tolist() == [5]
    membrane = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert membrane_at("it", membrane, (1, 0, 1)).tolist() == [[membrane[0, 1, 0, 1], membrane[1, 1, 0, 1]]]

"""Folded neurons in modules and networks: state, T, and long runs."""

from __future__ import annotations

import copy

import pytest
import torch

from bntt.engine import workspace
from bntt.engine.graph import layer as engine_layer
from bntt.engine.workspace import Workspace
from bntt.nn import LIF, FoldedLIF, FoldedNeuron, Measure, NoNorm, SpikingNetwork
from bntt.ops.folded import folded_sequence
from tests.folding import random_neuron
from tests.kernels import needs_kernels
from tests.nn.networks import folded, pair, small

STEPS = 5


def test_module_is_the_function(rng):
    neuron = random_neuron("both", STEPS, 3, rng)
    module, current = FoldedLIF(neuron), torch.randn(STEPS, 4, 3, 2, 2, generator=rng)
    expected, end = folded_sequence(current, None, neuron)
    spikes, membrane = module(current)
    assert torch.equal(spikes, expected)
    assert torch.equal(membrane, end)


def test_tables_are_in_the_state_and_move(rng):
    module, other = (FoldedLIF(random_neuron("both", STEPS, 3, rng)) for _ in range(2))
    assert set(module.state_dict()) == {"leak", "threshold", "amount", "gain", "bias", "turned", "slope"}
    other.load_state_dict(module.state_dict())
    current = torch.randn(STEPS, 4, 3, generator=rng)
    assert torch.equal(other(current)[0], module(current)[0])
    wide = copy.deepcopy(module).double()
    assert (wide.leak.dtype, wide.turned.dtype) == (torch.float64, torch.bool)
    assert torch.equal(wide(current.double())[0].float(), module(current)[0])
    assert not list(module.parameters())
    assert "num_steps=5, channels=3, rule=fire_after, reset=soft_reset" in repr(module)
    assert "amount" not in FoldedLIF(FoldedNeuron(0.9, 1.0)).state_dict()


def test_a_network_has_the_steps_of_its_neurons():
    assert folded("both", STEPS).num_steps == STEPS
    assert folded("channel", STEPS).num_steps is None


@pytest.mark.slow
@needs_kernels
def test_an_integrator_runs_2500_steps_in_the_memory_of_a_few(rng, monkeypatch):
    """λ = 1 and no norm: any T, fused in evaluation, spike for spike as plain PyTorch has it. Weights and inputs are
    multiples of 1/8, so that sums are exact in any order."""
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 1 << 18)
    net = small(1, norm=lambda channels, steps: NoNorm())
    for block in net.blocks.values():
        block.lif = LIF(leak=1.0)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((torch.randint(-2, 3, p.shape, generator=rng)) / 8)
    ours, theirs = pair(SpikingNetwork(dict(net.blocks.items()), net.readout).eval())
    assert ours.num_steps is None
    take, taken, largest = Workspace.take, [], []

    def counting(self: Workspace, size: int) -> torch.Tensor:
        taken.append(size)
        return take(self, size)

    monkeypatch.setattr(workspace, "_SMALL", 1)
    monkeypatch.setattr(Workspace, "take", counting)
    for steps in (250, 2500):
        x = torch.randint(-1, 2, (steps, 1, 2, 11, 11), generator=rng).to(torch.int8)
        assert not ours.plan(x.shape).reason
        taken.clear()
        with torch.no_grad():
            logits = ours(x)
        largest.append(max(taken))
    assert largest[0] == largest[1]
    with torch.no_grad():
        said, state = theirs.advance(x, measure=Measure(spikes=True))
    assert torch.allclose(logits, said[-1], rtol=1e-6)
    trace = ours.trace(x)
    assert torch.allclose(trace.logits, said, rtol=1e-5, atol=1e-6)
    for name, spikes in trace.spikes.items():
        assert torch.equal(spikes, state.measured[name].spikes), name
        assert spikes.sum() > 1000

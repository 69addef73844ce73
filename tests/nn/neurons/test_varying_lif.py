"""Folded neurons in modules and networks: state, T, errors, and fused runs against plain ones."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from bntt.engine import workspace
from bntt.engine.cpu import library
from bntt.engine.graph import layer as engine_layer
from bntt.engine.workspace import Workspace
from bntt.nn import BNTT, LIF, Call, FoldedLIF, FoldedNeuron, Measure, NoNorm, Readout, SpikingBlock, SpikingNetwork
from bntt.ops.folded import folded_sequence
from tests.folding import RULES, SHAPES, random_neuron
from tests.grids import pairs
from tests.kernels import choose, needs_kernels, poisoned, variant
from tests.nn.networks import backward, close, pair, small, spikes_of

_ = variant
STEPS = 5


def folded(shape: str, rng: torch.Generator, steps: int = STEPS, **options) -> SpikingNetwork:
    """The small network with folded neurons of random tables."""
    net = small(steps, norm=lambda channels, steps: NoNorm())
    for block, channels in zip(net.blocks.values(), (21, 40, 18, 33), strict=True):
        block.lif = FoldedLIF(random_neuron(shape, steps, channels, rng, **options))
        block.norm = NoNorm()
    return SpikingNetwork(dict(net.blocks.items()), net.readout).eval()


def test_module_is_the_function(rng):
    neuron = random_neuron("both", STEPS, 3, rng)
    module, current = FoldedLIF(neuron), torch.randn(STEPS, 4, 3, 2, 2, generator=rng)
    expected, end = folded_sequence(current, None, neuron)
    spikes, membrane = module(current)
    assert torch.equal(spikes, expected)
    assert torch.equal(membrane, end)
    later, _ = module(current[2:], Call(2), module(current[:2])[1])
    assert torch.equal(later, expected[2:])


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


def test_what_does_not_fit_is_said(rng):
    module = FoldedLIF(random_neuron("both", STEPS, 3, rng))
    with pytest.raises(ValueError, match=r"have 5 time steps \(0-4\), got t=5: fold a network of num_steps=6, or stop"):
        module(torch.ones(2, 1, 3), Call(4))
    with pytest.raises(ValueError, match="have 3 channels, the current has 2"):
        module(torch.ones(2, 1, 2))
    with pytest.raises(ValueError, match="begin every batch with state=None"):
        module(torch.ones(1, 2, 3), Call(1), torch.ones(4, 3))


def test_a_network_has_the_steps_of_its_neurons(rng):
    net = folded("both", rng)
    assert net.num_steps == STEPS
    assert folded("channel", rng).num_steps is None
    with pytest.raises(ValueError, match="has 5 time steps"):
        net.advance(spikes_of(6, 1, rng))
    blocks = dict(net.blocks.items())
    blocks["conv2"].lif = FoldedLIF(random_neuron("step", 4, 40, rng))
    with pytest.raises(ValueError, match=r"must have one number of time steps .* 'conv2\.lif': 4"):
        SpikingNetwork(blocks, net.readout)


@needs_kernels
@pairs(
    rule__reset=RULES,
    shape=SHAPES,
    variant=library.variants(),
    recompute=["never", 2],
    chunk=[1, engine_layer.CHUNK_BYTES],
)
def test_fused_and_plain(rule, reset, shape, recompute, chunk, variant, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    ours, theirs = pair(folded(shape, rng, rule=rule, reset=reset))
    choose(ours, recompute=recompute)
    for batch in (1, 4):
        x = spikes_of(STEPS, batch, rng)
        assert not ours.plan(x.shape).reason
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        ours.zero_grad(), theirs.zero_grad()
        with poisoned():
            logits = backward(ours, inputs[0])
            with torch.no_grad():
                assert close(ours(x.to(torch.int8)), logits)
        assert close(logits, backward(theirs, inputs[1]))
        assert close(inputs[0].grad, inputs[1].grad)
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert close(p.grad, q.grad), name
    assert inputs[0].grad.abs().max() > 0


@needs_kernels
@pairs(backend=["cpu", "reference"], shape=SHAPES)
def test_cuts_are_the_whole(shape, backend, rng):
    net, x = folded(shape, rng), spikes_of(STEPS, 3, rng)
    choose(net, backend=backend)
    whole, _ = net.advance(x)
    for cuts in ((0, 1, 2, 3, 4, 5), (0, 2, 5)):
        parts, state = [], None
        for first, last in itertools.pairwise(cuts):
            logits, state = net.advance(x[first:last], state)
            parts.append(logits)
        assert close(torch.cat(parts), whole)


@needs_kernels
@pytest.mark.parametrize("shape", ["both", "number"])
def test_what_is_measured_is_what_plain_layers_show(shape, rng):
    """The current of a layer is what its neurons get; gain and bias are theirs."""
    nets, x = pair(folded(shape, rng)), spikes_of(STEPS, 3, rng)
    measure = Measure(spikes=True, places=True, samples=True, moments=True, current=(-1.0, -0.2, 0.3, 0.8, 2.0))
    ours, theirs = (net.advance(x, measure=measure)[1].measured for net in nets)
    for name, found in ours.items():
        expected = theirs[name]
        assert torch.equal(found.spikes, expected.spikes)
        assert torch.equal(found.places, expected.places)
        assert torch.equal(found.samples, expected.samples)
        moved = (found.current.histogram - expected.current.histogram).abs().sum()
        assert moved <= 4  # what lies at an edge but for rounding
        assert torch.allclose(found.current.maximum, expected.current.maximum, rtol=1e-5)
        assert torch.allclose(found.moments.mean, expected.moments.mean, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_what_is_not_fused_says_why():
    def reason(lif: nn.Module, norm: nn.Module, steps: int = 2, channels: int = 4) -> str:
        block = SpikingBlock(nn.utils.skip_init(nn.Linear, 3, channels), norm, lif)
        net = SpikingNetwork([block], Readout(nn.utils.skip_init(nn.Linear, channels, 2))).eval()
        return net.plan((steps, 5, 3)).reason

    def neurons(**tables) -> FoldedLIF:
        return FoldedLIF(FoldedNeuron(**{"leak": 0.9, "threshold": 1.0, **tables}))

    assert not reason(neurons(), NoNorm())
    assert "the kernels support folded neurons only without a norm" in reason(neurons(), BNTT(4, 2))
    assert "have 3 channels" in reason(neurons(leak=torch.ones(1, 3)), NoNorm())
    assert "its surrogate is a custom one" in reason(neurons(surrogate=lambda v: v), NoNorm())
    assert "float64" in reason(neurons().double(), NoNorm())
    learning = neurons()
    learning.leak.requires_grad_()
    assert "learn" in reason(learning, NoNorm())


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

"""Residual addition in all its forms: against float64, against the modules one by one, in every cut, and measured."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.graph import layer as engine_layer
from bntt.nn import BNTT, LIF, TAB, CurrentBlock, Measure, NeuronBlock, Residual, SpikingBlock, SpikingNetwork
from bntt.nn.kinds import NORMS
from tests.grids import every_value, pairs
from tests.kernels import choose, needs_kernels
from tests.nn.networks import FORMS, backward, close, conv, linear, pair, residual, spikes_of, teacher_forced
from tests.rows import each_row

EVERYTHING = Measure(True, True, True, (-1.0, 0.0, 1.0), True, True)


def backward_with(net: SpikingNetwork, x: Tensor, **noise: int) -> Tensor:
    logits = net(x, **noise)
    (logits * torch.arange(1.0, 5.0)).square().sum().backward()
    return logits


def same_everywhere(ours: SpikingNetwork, theirs: SpikingNetwork) -> None:
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert close(p.grad, q.grad), name
        assert q.grad.abs().max() > 0, name
    for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6), name


class ByHand(nn.Module):
    """One step of a block of :func:`residual` after the other, written out."""

    def __init__(self, net: SpikingNetwork, form: str) -> None:
        super().__init__()
        self.net, self.form = net, form

    def forward(self, x: Tensor) -> Tensor:
        net, total = self.net, 0
        membranes: dict[nn.Module, Tensor] = {}

        def fire(lif: nn.Module, z: Tensor) -> Tensor:
            neuron = lif.neuron
            m = neuron.leak * membranes.get(lif, torch.zeros_like(z)) + z
            o = bntt.ops.spike.fire(m, neuron.threshold, neuron.surrogate)
            membranes[lif] = m - neuron.threshold * o.detach()
            return o

        def normal(block: nn.Module, x: Tensor, t: int) -> Tensor:
            z, norm = block.synapse(x), block.norm
            mean, var = z.mean((0, 2, 3), keepdim=True), z.var((0, 2, 3), keepdim=True, correction=0)
            return norm.gamma[t][:, None, None] * (z - mean) / (var + norm.eps).sqrt()

        for t, step in enumerate(x):
            b = net.blocks
            y = nn.functional.max_pool2d(fire(b["pooled"].lif, normal(b["pooled"], step, t)), 2)
            if self.form == "spikes":
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = fire(body["a"].lif, normal(body["a"], y, t))
                    z = fire(body["b"].lif, normal(body["b"], z, t))
                    y = z + (fire(short["c"].lif, normal(short["c"], y, t)) if len(short) else y)
                y = fire(b["last"].lif, normal(b["last"], y, t)).mean((2, 3))
            elif self.form == "currents":
                y = normal(b["stem"], y, t)
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = normal(body["b"], fire(body["a"].lif, y), t)
                    z = normal(body["d"], fire(body["c"].lif, z), t)
                    y = z + (normal(short["e"], y, t) if len(short) else y)
                y = fire(b["last"].lif, y).mean((2, 3))
            else:
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = normal(body["b"], fire(body["a"].lif, normal(body["a"], y, t)), t)
                    y = fire(b[name].after.lif, z + (normal(short["c"], y, t) if len(short) else y))
                y = y.mean((2, 3))
            total = total + net.readout.synapse(y)
        return total / len(x)


@each_row("form", FORMS)
def test_the_modules_are_what_their_papers_say(form, rng):
    """In float64, against the steps written out: logits and every gradient."""
    net = residual(form).double()
    other, x = ByHand(copy.deepcopy(net), form), spikes_of(5, 3, rng).double()
    assert torch.allclose(backward(net, x), backward(other, x), rtol=1e-10)
    for (name, p), q in zip(net.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, rtol=1e-9, atol=1e-12), name


@each_row("form", FORMS)
def test_every_cut_is_the_whole(form, rng):
    net, x = residual(form, dropout=0.3).double(), spikes_of(5, 3, rng).double()
    whole = net(x, seed=1, draw=2)
    _, state = net.advance(x[:2], seed=1, draw=2)
    rest, state = net.advance(x[2:], state)
    assert torch.allclose(rest[-1], whole, rtol=1e-10)
    net.eval()
    _, state = net.advance(x[:3])
    keep = torch.tensor([True, False, True])
    rest, _ = net.advance(x[3:, keep], state.rows(keep))
    assert torch.allclose(rest[-1], net(x)[keep], rtol=1e-10)


@needs_kernels
@pairs(
    chunk=[1, engine_layer.CHUNK_BYTES], recompute=["never", 2], dropout=[0.0, 0.4], training=[True, False], form=FORMS
)
def test_fused_as_the_modules(form, training, dropout, recompute, chunk, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    ours, theirs = pair(residual(form, dropout=dropout).train(training))
    choose(ours, recompute=recompute)
    inputs = [x.clone().requires_grad_() for x in [spikes_of(5, 4, rng)] * 2]
    assert not ours.plan(inputs[0].shape).reason
    assert close(*(backward_with(net, x, seed=1, draw=3) for net, x in zip((ours, theirs), inputs, strict=True)))
    assert close(*(x.grad for x in inputs))
    same_everywhere(ours, theirs)


@needs_kernels
@every_value(norm=NORMS, form=FORMS)
def test_every_norm(form, norm, rng):
    ours, theirs = pair(residual(form, norm=lambda channels, steps: NORMS[norm](channels, steps, 0.7)))
    x = spikes_of(5, 4, rng)
    assert not ours.plan(x.shape).reason
    assert close(backward(ours, x.to(torch.int8)), backward(theirs, x))
    same_everywhere(ours, theirs)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        assert close(ours(x[:, :1]), theirs(x[:, :1]))


@needs_kernels
@every_value(form=FORMS, norm=[BNTT, TAB])
def test_fused_through_a_state(form, norm, rng):
    ours, theirs = pair(residual(form, norm=norm))
    x = spikes_of(5, 4, rng)
    for net in (ours, theirs):
        first, state = net.advance(x[:2])
        rest, _ = net.advance(x[2:], state)
        (torch.cat([first, rest]) * torch.arange(1.0, 5.0)).square().sum().backward()
    same_everywhere(ours, theirs)


@needs_kernels
@pytest.mark.parametrize("form", FORMS)
def test_what_is_measured(form, rng):
    """Of every layer: those without neurons have moments and gradients, those without weights have spikes."""
    ours, theirs = pair(residual(form))
    x, found = spikes_of(5, 4, rng), []
    for net in (ours, theirs):
        logits, state = net.advance(x, measure=EVERYTHING)
        logits.square().sum().backward()
        found.append(state.measured)
    assert list(found[0]) == list(found[1]) == list(ours.layers)
    for name, layer in ours.layers.items():
        one, other = found[0][name], found[1][name]
        assert one.neurons == other.neurons, name
        assert (one.spikes is None) == (layer.lif is None), name
        assert (one.moments is None) == (layer.norm is None), name
        if layer.lif is not None:
            assert torch.equal(one.spikes, other.spikes), name
            assert torch.equal(one.places, other.places), name
            assert torch.equal(one.samples, other.samples), name
            assert (one.current.histogram - other.current.histogram).abs().sum() <= 4
        if layer.norm is not None:
            assert torch.allclose(one.moments.mean, other.moments.mean, atol=1e-5), name
            assert torch.allclose(one.gradient, other.gradient, rtol=1e-3), name
    trace = ours.trace(x)
    assert set(trace.spikes) == set(trace.neurons) == {n for n, layer in ours.layers.items() if layer.lif is not None}


@needs_kernels
def test_a_membrane_is_followed(rng):
    """That of the part that was named: a block's state has one of each of its parts."""
    x, measure = spikes_of(5, 4, rng), Measure(membrane=("same.after", (2, 1, 0)))
    for net in pair(residual("before").eval()):
        found, state = net.advance(x, measure=measure)[1].measured["same.after"].membrane, None
        assert found.shape == (5, 4)
        assert found.abs().max() > 0
        for t, row in enumerate(found):
            _, state = net.advance(x[t : t + 1], state)
            assert torch.equal(row, state.blocks[1][2].membrane[:, 2, 1, 0])


def test_shapes_that_differ_name_both_places(rng):
    def spiking(i: int, o: int) -> SpikingBlock:
        return SpikingBlock(conv(i, o, 3, padding=1), BNTT(o, 2), LIF())

    body = {"first": spiking(2, 8), "second": spiking(8, 6)}
    net = SpikingNetwork({"block1": Residual(body)}, residual("spikes").readout)
    message = r"block 'block1' adds up what its body's 'second' gives, \[6, 11, 11\], and what its input, having no"
    with pytest.raises(ValueError, match=message):
        net(spikes_of(2, 3, rng))
    shortcut = {"short": CurrentBlock(conv(2, 8, 1), BNTT(8, 2))}
    with pytest.raises(ValueError, match=r"'second' gives, .* and what its shortcut's 'short' gives, \[8, 11, 11\]"):
        Residual(body, shortcut)(spikes_of(2, 3, rng))


def test_what_is_no_residual_block():
    with pytest.raises(ValueError, match="a body of one block or more"):
        Residual({})
    with pytest.raises(TypeError, match="part 'a' of a residual block must take"):
        Residual({"a": linear(2, 2)})
    with pytest.raises(TypeError, match="part 'after' of a residual block must list"):
        Residual({"a": NeuronBlock(LIF())}, after=LIF())


@needs_kernels
@pytest.mark.parametrize("form", FORMS)
def test_block_by_block_at_25_steps_teacher_forced(form, rng):
    """Each block gets the reference's own input. Where no spike differs from float64's, no gradient is further from it
    than a few times what the reference itself is in float32."""
    net, compared, wrong = residual(form, 25), 0, 0
    x = spikes_of(25, 3, rng)
    for name, block in net.blocks.items():
        outputs, gradients = teacher_forced(block, x, rng)
        off = [int(((output.double() - outputs[2]).abs() > 1e-3).sum()) for output in outputs[:2]]
        wrong += off[0]
        if off == [0, 0]:
            for ours, theirs, exact in gradients:
                assert (ours - exact).norm() <= 4 * (theirs - exact).norm() + 5e-6 * exact.norm(), name
                compared += 1
        x = outputs[1].detach()
    assert wrong <= 4
    assert compared >= 8


@needs_kernels
@every_value(form=FORMS, each=["fixed", "layer", "channel"])
def test_neurons_that_decay_their_input(each, form, rng):
    """Those without weights too, whose gain is then learned beside their leak."""
    net, x, channels = residual(form), spikes_of(5, 3, rng), dict[nn.Module, int]()
    for part in net.modules():
        if isinstance(part, LIF):
            part.register_forward_hook(lambda lif, args, out: channels.update({lif: out[0].shape[2]}))
    choose(net, backend="reference")
    net(x)
    for block in [*net.modules()]:
        if isinstance(block, SpikingBlock | NeuronBlock):
            many = channels[block.lif] if each == "channel" else None
            block.lif = LIF(0.4, 0.4, learn_leak=each != "fixed", channels=many, decay_input=True)
    ours, theirs = pair(net)
    assert not ours.plan(x.shape).reason
    assert close(backward(ours, x), backward(theirs, x))
    same_everywhere(ours, theirs)

"""Fused runs against the modules one by one: spikes, every gradient, statistics, traces."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import bntt
from bntt.engine.compute import Compute
from bntt.engine.cpu import library
from bntt.engine.graph import layer as engine_layer
from bntt.nn import BNTT, LIF, TEBN, NormMethod, Readout, SharedBN, SpikingNetwork, TemporalNorm, Window
from tests.grids import every_value, pairs
from tests.kernels import choose, needs_kernels, variant
from tests.nn.networks import OPTIONS, NoBatchOfOne, backward, close, pair, small, spikes_of, teacher_forced
from tests.rows import each_row

pytestmark = needs_kernels
_ = variant


@pairs(training=[True, False], batch=[1, 7], steps=[1, 2, 5], variant=library.variants())
def test_a_network_and_its_gradients(steps, batch, training, variant, rng):
    ours, theirs = pair(small(steps, norm=NoBatchOfOne if batch == 1 else BNTT))
    x = spikes_of(steps, batch, rng)
    with torch.no_grad():
        for net in (ours, theirs):  # running statistics worth evaluating with
            theirs_mode = net.compute.backend
            choose(net, backend="reference")
            net(x)
            choose(net, backend=theirs_mode)
            net.train(training)
    a, b = ours(x.to(torch.int8)), theirs(x)
    for logits in (a, b):  # of one step of one sample no spike comes to the readout: the loss may not be flat at 0
        ((logits + 1) * torch.arange(1.0, 5.0)).square().sum().backward()
    assert close(a, b)
    assert theirs.blocks["conv1"].synapse.weight.grad.abs().max() > 0
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if name == "blocks.conv2.synapse.bias" and training:
            assert p.grad is not None
            assert p.grad.abs().max() == 0  # batch statistics take a constant away; the modules have rounding noise
            continue
        assert close(p.grad, q.grad), name
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)


@every_value(options=OPTIONS, norm=[BNTT, SharedBN, TEBN])
def test_rules_resets_surrogates_and_norms(options, norm, rng):
    """Over as many steps as neurons that fire before they integrate need to reach the readout."""
    ours, theirs = pair(small(7, norm=norm, threshold=0.8, **options))
    x = spikes_of(7, 3, rng)
    assert close(backward(ours, x), backward(theirs, x))
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if name != "blocks.conv2.synapse.bias":
            assert q.grad.abs().max() > 0, name
            assert close(p.grad, q.grad), name


@pairs(chunk=[1, engine_layer.CHUNK_BYTES], recompute=["never", 2, 3], batch=[2, 7], name=[*bntt.nn.NORMS, "window"])
def test_every_norm_in_training(name, batch, recompute, chunk, rng, monkeypatch):
    """Of p and β too; in spans and chunks, which pooled statistics and their gradients go through."""
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    window = NormMethod("Window", pooling=Window(1), beta=True)

    def build(channels: int, steps: int) -> nn.Module:
        return TemporalNorm(channels, steps, window) if name == "window" else bntt.nn.NORMS[name](channels, steps, 1.0)

    ours, theirs = pair(small(5, norm=build))
    choose(ours, recompute=recompute)
    with torch.no_grad():
        for net in (ours, theirs):
            for i, (part, p) in enumerate(net.named_parameters()):
                if "norm" in part:
                    p.add_(torch.linspace(-0.2, 0.3, p.numel()).reshape(p.shape) * (1 + i % 3))
                if part.endswith("gamma"):  # of any sign, and 0
                    p.view(-1)[1::7] *= -1
                    p.view(-1)[3::11] = 0.0
    inputs = [x.requires_grad_() for x in [spikes_of(5, batch, rng)] for x in (x.clone(), x.clone())]
    assert close(backward(ours, inputs[0]), backward(theirs, inputs[1]))
    assert close(inputs[0].grad, inputs[1].grad)
    for (part, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if part != "blocks.conv2.synapse.bias" or name in ("layer", "none"):
            assert close(p.grad, q.grad), part
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)


@pairs(training=[True, False], recompute=["never", 2], each=["layer", "channel"], options=OPTIONS[::2])
def test_a_learned_leak(options, each, recompute, training, rng):
    """In spans too, and through a state: what earlier steps left in the membrane counts."""
    net = small(6)
    for block in net.blocks.values():
        block.lif = LIF(
            0.7, 0.6, learn_leak=True, channels=block.norm.channels if each == "channel" else None, **options
        )
        with torch.no_grad():
            logit = block.lif.leak_logit
            logit.add_(torch.linspace(-0.5, 1, logit.numel()).reshape(logit.shape))
    ours, theirs = pair(net.train(training))
    choose(ours, recompute=recompute)
    x = spikes_of(6, 4, rng)
    assert not ours.plan(x.shape).reason
    for model in (ours, theirs):
        first, state = model.advance(x[:2])
        logits, _ = model.advance(x[2:], state)
        (torch.cat([first, logits]) * torch.arange(1.0, 5)).square().sum().backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if name != "blocks.conv2.synapse.bias":
            assert (p.grad - q.grad).abs().max() <= 5e-5 * q.grad.abs().max() + 1e-6, name
    assert all(block.lif.leak_logit.grad.abs().max() > 0 for block in list(ours.blocks.values())[:1])


@pairs(
    training=[True, False],
    recompute=["never", 2],
    each=["fixed", "layer", "channel"],
    name=["bntt", "tdbn", "layer", "none"],
)
def test_an_input_that_decays(name, each, recompute, training, rng):
    """By a gain that is a part of γ and β; a learned leak gets the gradient of both of its places, by every norm."""
    net = small(6, norm=lambda channels, steps: bntt.nn.NORMS[name](channels, steps, 1.0))
    for block in net.blocks.values():
        channels = len(block.synapse.weight) if each == "channel" else None
        block.lif = LIF(0.4, 0.6, learn_leak=each != "fixed", channels=channels, decay_input=True)
        if (logit := block.lif.leak_logit) is not None:
            with torch.no_grad():
                logit.add_(torch.linspace(-0.5, 1, logit.numel()).reshape(logit.shape))
    ours, theirs = pair(net.train(training))
    choose(ours, recompute=recompute)
    x = spikes_of(6, 4, rng)
    assert not ours.plan(x.shape).reason
    assert close(backward(ours, x), backward(theirs, x))
    for (part, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if part != "blocks.conv2.synapse.bias" or not training:
            assert close(p.grad, q.grad), part
    if name != "tdbn" or not training:  # whose statistics are over all steps
        theirs.requires_grad_(False), ours.requires_grad_(False)
        state, parts = None, []
        for part in x.split(2):
            logits, state = ours.advance(part, state)
            parts.append(logits)
        assert close(parts[-1][-1], theirs(x)), "step by step, from a state"


@each_row("name", bntt.nn.NORMS)
def test_every_norm_in_evaluation(name, rng):
    build = bntt.nn.NORMS[name]
    ours, theirs = pair(small(4, norm=lambda channels, steps: build(channels, steps, 1.0)))
    x = spikes_of(4, 6, rng)
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(torch.randn(p.shape, generator=rng) * 0.05)
    theirs.load_state_dict(ours.state_dict())
    theirs(x)
    ours.load_state_dict(theirs.state_dict())
    ours.eval(), theirs.eval()
    assert close(backward(ours, x), backward(theirs, x))
    assert theirs.blocks["conv1"].synapse.weight.grad.any()
    for (label, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert close(p.grad, q.grad), label


@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_at_a_float_input(training, rng):
    ours, theirs = pair(small(4))
    ours.train(training), theirs.train(training)
    x = torch.randn(4, 3, 2, 11, 11, generator=rng)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for net, one in zip((ours, theirs), inputs, strict=True):
        backward(net, one)
    assert close(inputs[0].grad, inputs[1].grad)
    direct = torch.rand(3, 2, 11, 11, generator=rng, requires_grad=True)
    grads = [
        torch.autograd.grad(net(direct.expand(4, -1, -1, -1, -1)).square().sum(), direct)[0] for net in (ours, theirs)
    ]
    assert close(*grads)


def test_layer_by_layer_at_25_steps_teacher_forced(rng):
    """Each layer of a VGG9 gets the reference's own input spikes and gradient. Ties are counted and must be few; where
    there is none, no gradient is further from float64 than twice what the reference itself is in float32."""
    steps, batch = 25, 2
    net = bntt.models.vgg9(num_classes=10, num_steps=steps, width=0.5)
    for block in net.blocks.values():
        block.norm.gamma.data.mul_(1.2)
    x = torch.randint(-1, 2, (steps, batch, 3, 32, 32), generator=rng).float()
    neurons = mismatches = compared = 0
    for name, block in net.blocks.items():
        outputs, gradients = teacher_forced(block, x, rng)
        neurons += outputs[0].numel()
        wrong = int((outputs[0] != outputs[1]).sum())
        mismatches += wrong
        if wrong == 0 and torch.equal(outputs[1].double(), outputs[2]):
            for ours, theirs, exact in gradients:
                own = (theirs - exact).norm()
                assert (ours - exact).norm() <= 2.5 * own + 2e-6 * exact.norm(), name
                compared += 1
        x = outputs[1].detach()
    assert mismatches <= max(4, 1e-6 * neurons)
    assert compared >= 12
    assert neurons > 1_000_000


def test_784_steps_of_a_fully_connected_network(rng):
    net = bntt.models.mlp(hidden=(20, 12), num_steps=784)
    ours, theirs = pair(net)
    x = torch.rand(784, 3, 1, generator=rng)
    first = [copy.deepcopy(n.blocks["fc1"]) for n in (ours, theirs)]
    nets = [
        SpikingNetwork(
            {"fc1": b},
            Readout(bntt.models.mlp(hidden=(20,), num_classes=2, num_steps=1).readout.synapse),
            compute=Compute(k),
        )
        for b, k in zip(first, ("cpu", "reference"), strict=True)
    ]
    nets[1].readout.load_state_dict(nets[0].readout.state_dict())
    for n in nets:
        n(x).square().sum().backward()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert close(p.grad, q.grad, 2e-4)
    assert torch.isfinite(ours(x)).all()


def test_a_frozen_norm_keeps_its_statistics(rng):
    ours, theirs = pair(small(3))
    for net in (ours, theirs):
        net.blocks["conv2"].norm.eval()
    x = spikes_of(3, 4, rng)
    assert close(backward(ours, x), backward(theirs, x))
    assert torch.equal(ours.blocks["conv2"].norm.running_var, torch.ones(3, 40))
    assert close(ours.blocks["conv2"].synapse.bias.grad, theirs.blocks["conv2"].synapse.bias.grad)


def test_no_grad_in_training_mode_moves_the_running_statistics_alike(rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 1)  # a step at a time
    ours, theirs = pair(small(5))
    x = spikes_of(5, 4, rng)
    with torch.no_grad():
        assert close(ours(x), theirs(x))
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("deterministic", [True, False])
def test_signed_bytes_are_signed_floats(deterministic, rng):
    """As events of two signs, and as they are: logits and the first layer's gradients."""
    torch.use_deterministic_algorithms(deterministic)
    net = small(4)
    choose(net, backend="cpu")
    x = spikes_of(4, 3, rng)
    results = []
    for given in (x, x.to(torch.int8)):
        net.zero_grad()
        results.append((backward(net, given), net.blocks["conv1"].synapse.weight.grad.clone()))
    assert all(close(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("chunk", [1, 40_000, 1 << 24])
def test_the_trace_is_the_stepwise_one_whatever_the_chunks(chunk, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    ours, theirs = pair(small(5))
    x = spikes_of(5, 4, rng)
    ours(x), theirs(x)
    a, b = ours.trace(x.to(torch.int8)), theirs.trace(x)
    assert close(a.logits, b.logits)
    assert a.neurons == b.neurons
    for name in b.spikes:
        assert torch.equal(a.spikes[name], b.spikes[name]), name
    assert ours.training

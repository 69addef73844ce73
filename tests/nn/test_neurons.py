"""Neurons as modules: settings, leaks that learn, folded tables, and those of an ANN."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from bntt import Compute
from bntt.models import mlp, vgg6, vgg11
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.ops.folded import FoldedNeuron
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, lif_sequence, soft_reset
from bntt.ops.spike import FastSigmoid
from tests.folding import random_neuron
from tests.grids import pairs
from tests.kernels import needs_kernels
from tests.nn.networks import close, small, spikes_of
from tests.oracle import weight_of
from tests.rows import each_row


@pytest.fixture
def current(rng):
    return torch.randn(5, 2, 3, generator=rng)


def test_module_is_the_function_and_no_state_stays_behind(current, rng):
    module = LIF(0.8, 1.5, rule=fire_before, reset=hard_reset, surrogate=FastSigmoid())
    expected, _ = lif_sequence(current, neuron=Neuron(0.8, 1.5, fire_before, hard_reset))
    module(torch.randn(4, 7, 3, generator=rng))
    assert torch.equal(module(current)[0], expected)
    assert not module.state_dict()
    assert LIF(1.0)(torch.full((3, 1, 1), 0.5))[0].flatten().tolist() == [0, 0, 1], "an integrator"


def test_learnable_leak_starts_where_told_and_learns(current):
    module = LIF(0.9, learn_leak=True)
    assert module.neuron.leak.item() == pytest.approx(0.9)
    module(current)[0].sum().backward()
    assert module.leak_logit.grad.abs() > 0
    assert [name for name, _ in module.named_parameters()] == ["leak_logit"]
    assert LIF(0.8, channels=3).leak_logit is None, "builders give them to all neurons"
    assert LIF(0.8, channels=3, learn_leak="layer").leak_logit.shape == ()


def test_a_leak_in_every_channel_is_each_channels_own(rng):
    module, current = LIF(0.8, learn_leak=True, channels=3), torch.randn(5, 2, 3, 4, 4, generator=rng)
    with torch.no_grad():
        module.leak_logit.add_(torch.tensor([-1.0, 0.0, 2.0]))
    spikes, _ = module(current)
    for c, leak in enumerate(module.neuron.leak.tolist()):
        alone, _ = LIF(leak)(current[:, :, c])
        assert torch.equal(spikes[:, :, c], alone)
    spikes.sum().backward()
    assert (module.leak_logit.grad != 0).all()


def test_plif_is_a_learned_leak_whose_input_decays(current):
    """Fang et al. 2021: H = V + (X - V) / τ, 1/τ = 1 - λ; and without the decay it is another neuron."""
    plif, learned = LIF(0.75, learn_leak=True, decay_input=True), LIF(0.75, learn_leak=True)
    assert torch.equal(plif(4 * current)[0], learned(current)[0])
    assert not torch.equal(plif(current)[0], learned(current)[0])


def test_what_tells_two_models_apart_is_printed():
    """`structure` of models compares what is printed."""
    assert "rule=fire_before, reset=soft_reset, surrogate=Triangle(scale=0.3)" in repr(LIF(rule=fire_before))
    assert "reset=functools.partial(" in repr(LIF(reset=partial(soft_reset)))
    assert "(mean of 3, learned)" in repr(LIF(0.8, learn_leak=True, channels=3))
    assert ["decay_input=True" in repr(LIF(0.5, decay_input=decays)) for decays in (True, False)] == [True, False]


@pytest.mark.parametrize(
    ("build", "options", "shape"),
    [
        (vgg6, {"width": 0.25}, (1, 28, 28)),
        (vgg11, {"width": 0.125, "image_size": 64}, (3, 64, 64)),
        (mlp, {"in_features": 5, "hidden": (7, 6)}, (5,)),
    ],
    ids=["vgg6", "vgg11", "mlp"],
)
def test_an_ann_is_what_pytorch_says(build, options, shape, rng):
    ann = build(num_steps=1, norm="none", neuron="relu", **options)
    x = torch.rand(2, *shape, generator=rng)
    y = x
    for block in ann.blocks.values():
        y = block.pool(block.synapse(y).relu())
    torch.testing.assert_close(ann(x[None]), ann.readout.synapse(y))
    ann(x[None]).sum().backward()
    assert all(p.grad.abs().max() > 0 for p in ann.parameters())
    spiking = build(num_steps=1, norm="none", **options)
    assert {n: p.shape for n, p in ann.named_parameters()} == {n: p.shape for n, p in spiking.named_parameters()}


def test_its_start_weights_have_the_gain_of_he():
    ann, spiking = (mlp(in_features=5, num_steps=1, norm="none", neuron=neuron) for neuron in ("relu", "lif"))
    one, other = (weight_of(net.blocks["fc2"].synapse) for net in (ann, spiking))
    torch.testing.assert_close(one * 2, other * 2.0**0.5)


STEPS = 5


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


SIZES = (21, 40, 18, 33)


def leaks_of(net: SpikingNetwork, start: Tensor, channels: bool, dtype: torch.dtype) -> list[nn.Parameter]:
    """A leak of one's own in every layer, given as a value and not by its logit."""
    leaks = []
    for block, size in zip(net.blocks.values(), SIZES, strict=True):
        values = start.repeat(size)[:size] if channels else start[0]
        leaks.append(nn.Parameter(values.to(dtype, copy=True)))
        block.lif.neuron = replace(block.lif.neuron, leak=leaks[-1])
    return leaks


@needs_kernels
@pairs(
    reset=[soft_reset, hard_reset],
    rule=[fire_after, fire_before],
    start=[[0.0], [1e-30], [1e-42], [0.7], [1.0], [0.0, 0.9, 1e-30, 1.0]],
    recompute=["never", 2],
)
def test_leaks_of_any_size_have_their_gradient(start, rule, reset, recompute, rng):
    """Above all of 0, where the gradient is as finite as elsewhere, and nothing may be divided by λ."""
    net = small(9, rule=rule, reset=reset)
    wide = copy.deepcopy(net).double()
    net.compute, wide.compute = Compute("cpu", recompute=recompute), Compute("reference")
    x, values = spikes_of(9, 4, rng), torch.tensor(start)
    found = leaks_of(net, values, len(start) > 1, torch.float32)
    wanted = leaks_of(wide, values, len(start) > 1, torch.float64)
    for one, kind in ((net, x), (wide, x.double())):
        (one(kind) * torch.arange(1.0, 5.0, dtype=kind.dtype)).square().sum().backward()
    assert not net.plan(x.shape).reason
    for ours, theirs in zip(found, wanted, strict=True):
        assert close(ours.grad, theirs.grad)
    assert any(theirs.grad.abs().max() > 0 for theirs in wanted)


@needs_kernels
@each_row("logit", [-200.0, -104.0, -88.0, -50.0, 0.0, 16.0, 200.0])
def test_a_leak_by_its_logit_has_the_gradient_of_plain_pytorch(logit, rng):
    """dλ/dw = λ (1 - λ): where float32 has no such λ but 0 or 1 it is 0, and never NaN."""
    net = small(learn_leak=True)
    with torch.no_grad():
        for block in net.blocks.values():
            block.lif.leak_logit.fill_(logit)
    plain = copy.deepcopy(net)
    net.compute, plain.compute = Compute("cpu"), Compute("reference")
    x = spikes_of(5, 4, rng)
    for one in (net, plain):
        one(x).square().sum().backward()
    for ours, theirs in zip(net.blocks.values(), plain.blocks.values(), strict=True):
        gradient = ours.lif.leak_logit.grad
        assert torch.isfinite(gradient)
        assert torch.allclose(gradient, theirs.lif.leak_logit.grad, rtol=1e-3, atol=1e-44)
        assert (gradient == 0) == (logit in (-200, -104, 200))

"""Constants of neurons and norms that somebody made tensors: every gradient that plain PyTorch has, fused or not."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bntt import Compute
from bntt.nn import LIF, Triangle, fire_after, fire_before, hard_reset, soft_reset
from bntt.nn.network.spiking_network import SpikingNetwork
from tests.grids import pairs
from tests.kernels import needs_kernels
from tests.nn.networks import close, small, spikes_of
from tests.rows import each_row

pytestmark = needs_kernels
SIZES = (21, 40, 18, 33)


def with_constant(record: Any, name: str, value: Tensor) -> Any:
    """A neuron or surrogate with a tensor where it says a number; what nobody refuses outside of these tests."""
    made = copy.copy(record)
    object.__setattr__(made, name, value)
    return made


def leaks_of(net: SpikingNetwork, start: Tensor, channels: bool, dtype: torch.dtype) -> list[nn.Parameter]:
    """A leak of one's own in every layer, given as a value and not by its logit."""
    leaks = []
    for block, size in zip(net.blocks.values(), SIZES, strict=True):
        values = start.repeat(size)[:size] if channels else start[0]
        leaks.append(nn.Parameter(values.to(dtype, copy=True)))
        block.lif.neuron = replace(block.lif.neuron, leak=leaks[-1])
    return leaks


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


@pairs(learned=[True, False], rule=[fire_after, fire_before])
def test_a_threshold_that_is_a_tensor_runs_as_plain_pytorch(rule, learned, rng):
    net = small(9, rule=rule)
    plain, x, gradients = copy.deepcopy(net), spikes_of(9, 4, rng), []
    plain.compute = Compute("reference")
    for one in (net, plain):
        threshold = torch.tensor(0.8, requires_grad=learned)
        for block in one.blocks.values():
            block.lif.neuron = with_constant(block.lif.neuron, "threshold", threshold)
        one(x).square().sum().backward()
        gradients.append(threshold.grad)
    assert net.plan(x.shape).reason == f"its threshold is {'learned' if learned else 'a tensor'}: kernels take a number"
    assert not learned or (gradients[0] != 0 and torch.equal(*gradients))
    weights = zip(net.parameters(), plain.parameters(), strict=True)
    assert all(torch.equal(ours.grad, theirs.grad) for ours, theirs in weights)


def test_other_constants_that_are_tensors_are_named(rng):
    x, one = spikes_of(5, 4, rng), nn.Parameter(torch.tensor(0.3))
    net = small()
    net.blocks["conv1"].lif.neuron = replace(LIF().neuron, surrogate=with_constant(Triangle(), "scale", one))
    assert net.plan(x.shape).reason == "its surrogate's constants are tensors"
    net = small()
    net.blocks["conv1"].norm.eps = one
    assert net.plan(x.shape).reason == "its norm's eps is a tensor: kernels take a number"
    net = small().eval()
    mean = net.blocks["conv1"].norm.running_mean.requires_grad_()
    assert net.plan(x.shape).reason == "its running statistics are learned"
    net(x).square().sum().backward()
    assert mean.grad.abs().max() > 0

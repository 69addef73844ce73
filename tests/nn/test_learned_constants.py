"""Leaks of any size, given as a value or by their logit: every gradient that plain PyTorch has."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from bntt import Compute
from bntt.nn import fire_after, fire_before, hard_reset, soft_reset
from bntt.nn.network.spiking_network import SpikingNetwork
from tests.grids import pairs
from tests.kernels import needs_kernels
from tests.nn.networks import close, small, spikes_of
from tests.rows import each_row

pytestmark = needs_kernels
SIZES = (21, 40, 18, 33)


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

"""The per-time-step loop that most BNTT code is: our yardstick, in the manner of the authors' release.

Time outside, layers inside; NCHW; one BatchNorm module without shift for every layer and step; spikes and resets by
masked assignment; fresh Poisson spikes drawn from torch's generator inside the loop. Written for the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bntt.nn import LIF, Readout, SpikingBlock, SpikingNetwork, TemporalNorm


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, above: Tensor) -> Tensor:
        ctx.save_for_backward(above)
        out = torch.zeros_like(above)
        out[above > 0] = 1.0
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (above,) = ctx.saved_tensors
        return grad * 0.3 * torch.clamp(1.0 - torch.abs(above), min=0)


class PerStepLoop(nn.Module):
    """The loop with the weights, γ and running statistics of a network of ours.

    Args:
        network: blocks of convolution or fully connected layers with BNTT, fire after, soft reset, θ = 1.
        draw: ``(images, t)`` → spikes of step t; None draws signed Poisson spikes, as released.
    """

    def __init__(self, network: SpikingNetwork, draw: Callable[[Tensor, int], Tensor] | None = None) -> None:
        super().__init__()
        self.draw = draw or _signed_poisson
        self.num_steps = network.num_steps or 1
        self.synapses, self.norms, self.pools = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.leaks: list[float] = []
        for block in network.blocks.values():
            assert isinstance(block, SpikingBlock)
            norm = block.norm
            assert isinstance(norm, TemporalNorm)
            assert isinstance(block.lif, LIF)
            self.synapses.append(block.synapse)
            self.pools.append(block.pool)
            self.leaks.append(float(block.lif.neuron.leak))
            kind = nn.BatchNorm2d if isinstance(block.synapse, nn.Conv2d) else nn.BatchNorm1d
            self.norms.append(nn.ModuleList(_batch_norm(kind, norm, t) for t in range(self.num_steps)))
        assert isinstance(network.readout, Readout)
        self.readout = network.readout.synapse

    def forward(self, images: Tensor) -> Tensor:
        membranes: list[Tensor | None] = [None] * len(self.synapses)
        voltage: Tensor | float = 0.0
        for t in range(self.num_steps):
            x = self.draw(images, t)
            for i, synapse in enumerate(self.synapses):
                drive = self.norms[i][t](synapse(x))  # type: ignore[index]
                membrane = membranes[i]
                integrated = drive if membrane is None else self.leaks[i] * membrane + drive
                above = integrated - 1.0
                reset = torch.zeros_like(above)
                reset[above > 0] = 1.0
                membranes[i] = integrated - reset
                spikes: Tensor = _Spike.apply(above)  # type: ignore[no-untyped-call]
                x = self.pools[i](spikes)
            voltage = voltage + self.readout(x)
        assert isinstance(voltage, Tensor)
        return voltage / self.num_steps


def _batch_norm(kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d], norm: TemporalNorm, t: int) -> nn.Module:
    step = kind(norm.channels, eps=norm.eps, momentum=norm.momentum, device=norm.gamma.device)
    step.bias = None  # type: ignore[assignment]
    with torch.no_grad():
        step.weight.copy_(norm.gamma[t])
        step.running_mean.copy_(norm.running_mean[t])  # type: ignore[union-attr]
        step.running_var.copy_(norm.running_var[t])  # type: ignore[union-attr]
    return step


def _signed_poisson(images: Tensor, t: int) -> Tensor:
    return torch.mul(torch.le(torch.rand_like(images) * 2.0, torch.abs(images)).float(), torch.sign(images))

"""Bridge between the library's networks and the oracle's."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bntt.nn import SpikingNetwork
from bntt.ops.lif import fire_before, hard_reset
from tests import reference


def to_reference(net: SpikingNetwork) -> reference.Network:
    """The same weights, γ and running statistics in NumPy float64."""
    layers = []
    for block in net.blocks.values():
        kinds = [type(m) for m in block.pool.modules()]
        pool = "halve" if nn.AvgPool2d in kinds else "average" if nn.AdaptiveAvgPool2d in kinds else None
        arrays = [weight_of(block.synapse), block.norm.gamma, block.norm.running_mean, block.norm.running_var]
        layers.append(reference.Layer(*(a.detach().double().numpy().copy() for a in arrays), pool))
    lif, norm = block.lif.neuron, block.norm
    return reference.Network(
        layers,
        net.readout.synapse.weight.detach().double().numpy().copy(),
        leak=float(lif.leak),
        threshold=lif.threshold,
        eps=norm.eps,
        momentum=norm.momentum,
        fire_before=lif.rule is fire_before,
        hard_reset=lif.reset is hard_reset,
        decay_input=lif.decay_input,
    )


def weight_of(synapse: nn.Module) -> nn.Parameter:
    """The one weight of a synapse, which may flatten first."""
    (weight,) = synapse.parameters()
    return weight


def randomize(net: SpikingNetwork, seed: int = 3) -> None:
    """γ and running statistics away from their start values, so that no term is tested at 1 or 0 alone."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if hasattr(module, "running_mean"):
            with torch.no_grad():
                module.gamma.copy_(0.5 + torch.rand(module.gamma.shape, generator=generator, dtype=torch.float64))
                module.gamma[:, ::4] *= -1  # nobody may assume its sign
                module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.1)
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))


def random_spikes(shape: tuple[int, ...], seed: int = 5) -> torch.Tensor:
    """Signed float64 spikes, as the encoder gives them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1, 2, shape, generator=generator).double()


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest expected magnitude."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-300))

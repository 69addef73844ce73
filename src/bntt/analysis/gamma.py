"""γ over time, from which the paper reads when a network may stop (Fig. 4 and 6)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bntt.nn.network import SpikingNetwork
from bntt.nn.norm import TemporalNorm


@dataclass(frozen=True)
class GammaProfile:
    """Mean γ of every normalised layer at every step, ``[T]`` each."""

    magnitude: dict[str, Tensor]
    """Mean of |γ| over channels: what early exit reads."""
    signed: dict[str, Tensor]
    """Mean of γ over channels: the paper's wording."""


def gamma_profile(network: SpikingNetwork) -> GammaProfile:
    """Read γ from every layer whose norm has one for each step; other layers are left out.

    >>> from bntt.models import vgg6
    >>> gamma_profile(vgg6(num_steps=3)).magnitude["conv1"]
    tensor([1., 1., 1.])
    """
    magnitude, signed = {}, {}
    for name, layer in network.layers.items():
        norm = layer.norm
        if isinstance(norm, TemporalNorm) and not norm.method.shared_gamma:
            gamma = norm.gamma.detach()
            magnitude[name], signed[name] = gamma.abs().mean(1), gamma.mean(1)
    return GammaProfile(magnitude, signed)

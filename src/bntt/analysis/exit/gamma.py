"""γ over time, from which the paper reads when a network may stop (Fig. 4 and 6), and its divisor σ̄."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.nn.kinds import norm_facts, step_gamma
from bntt.nn.network.classifier import check_network
from bntt.nn.network.delays import delays
from bntt.nn.network.spiking_network import SpikingNetwork

NEAR_START = 1e-3
"""If every γ is closer to 1 than this, a network looks untrained."""
SAME = 1e-5
"""If γ varies by no more than this share, its histogram shows one value: float32 cannot separate the bins."""


@dataclass(frozen=True)
class GammaProfile:
    """Mean γ of every layer that has a γ for each step, ``[T]`` each; returned by :func:`gamma_profile`.

    Some γ have no path from input to readout: with ``fire_before``, those of a layer's first and last steps. Only
    weight decay changes them, so peaks and exits ignore them (see :attr:`driven`).
    """

    magnitude: dict[str, Float[Tensor, " T"]]
    """Mean of |γ|: the value that early exit reads."""
    signed: dict[str, Float[Tensor, " T"]]
    """Mean of γ: the paper's wording."""
    driven: dict[str, range]
    """The steps whose γ has a path from the input to the readout."""
    deviation: dict[str, Float[Tensor, " T"]]
    """Mean of σ̄ = √(running variance + ε)."""
    relative: dict[str, Float[Tensor, " T"]]
    """Mean of |γ_t| σ̄ / σ̄_t, where σ̄ is each channel's mean over the driven steps: the factor on the current, in
    the unit of γ. It equals ``magnitude`` if σ̄ does not vary, as the paper's Section 3.3 assumes."""

    def where_driven(self, field: Literal["magnitude", "deviation"]) -> dict[str, list[float]]:
        """Return the rows of a field, NaN where γ has no path to the readout.

        >>> rows, no = {"fc1": torch.tensor([9.0, 1.0, 2.0])}, {}
        >>> GammaProfile(rows, no, {"fc1": range(1, 3)}, no, no).where_driven("magnitude")
        {'fc1': [nan, 1.0, 2.0]}
        """
        rows: dict[str, Tensor] = getattr(self, field)
        return {
            name: [value if t in self.driven[name] else math.nan for t, value in enumerate(row.tolist())]
            for name, row in rows.items()
        }

    def peak(self, layer: str) -> int | None:
        """Return the driven step, 0-based, at which a layer's mean |γ| is largest; None if none is driven.

        >>> rows, no = {"fc1": torch.tensor([9.0, 1.0, 2.0])}, {}
        >>> GammaProfile(rows, no, {"fc1": range(1, 3)}, no, no).peak("fc1")
        2
        """
        steps = self.driven[layer]
        if not steps:
            return None
        return steps.start + int(self.magnitude[layer][steps.start : steps.stop].argmax())


def gamma_profile(network: SpikingNetwork) -> GammaProfile:
    """Return γ and σ̄ of every layer whose norm has a γ for each step; other layers are omitted.

    Args:
        network: any spiking network.

    >>> from bntt.models import vgg6
    >>> gamma_profile(vgg6(num_steps=3)).magnitude["conv1"]
    tensor([1., 1., 1.])
    """
    check_network(network, "gamma_profile")
    late, found = delays(network), GammaProfile({}, {}, {}, {}, {})
    for name, norm in stepwise_norms(network).items():
        gamma, deviation = step_gamma(norm), deviations(norm)
        steps = late[name].driven(norm.num_steps)
        usual = deviation[steps.start : steps.stop].mean(0) if steps else deviation.mean(0)
        found.magnitude[name], found.signed[name] = gamma.abs().mean(1), gamma.mean(1)
        found.driven[name] = steps
        found.deviation[name] = deviation.mean(1)
        found.relative[name] = (gamma.abs() * usual / deviation).mean(1)
    return found


def deviations(norm: Any) -> Float[Tensor, "T C"]:
    """Compute σ̄ of every step and channel, ``√(running variance + ε)``; 1 if a custom norm keeps no statistics.

    >>> from bntt.nn import BNTT
    >>> deviations(BNTT(1, num_steps=2, eps=3.0))
    tensor([[2.],
            [2.]])
    """
    if not norm_facts(norm).running_statistics:
        return torch.ones_like(norm.gamma)
    found: Tensor = (norm.running_var + norm.eps).sqrt().expand_as(norm.gamma)
    return found


def stepwise_norms(network: SpikingNetwork) -> dict[str, Any]:
    """Return the norms that have a γ for each step, by layer.

    Args:
        network: any spiking network.

    >>> from bntt.models import mlp
    >>> list(stepwise_norms(mlp(hidden=(4,), num_steps=3))), list(stepwise_norms(mlp(hidden=(4,), norm="bn")))
    (['fc1'], [])
    """
    check_network(network, "stepwise_norms")
    norms = {name: layer.norm for name, layer in network.layers.items()}
    return {name: norm for name, norm in norms.items() if norm_facts(norm).step_gamma}


def looks_untrained(network: SpikingNetwork) -> bool:
    """Return True if every γ is still about 1, its initial value; never for a network without γ.

    Args:
        network: any spiking network.

    >>> from bntt.models import mlp
    >>> looks_untrained(mlp(num_steps=3)), looks_untrained(mlp(norm="none"))
    (True, False)
    """
    check_network(network, "looks_untrained")
    norms: list[Any] = [part for part in network.modules() if norm_facts(part).running_statistics]
    gammas = [norm.gamma.detach() for norm in norms]
    return bool(gammas) and all(bool(torch.all((gamma - 1).abs() < NEAR_START)) for gamma in gammas)


@dataclass(frozen=True)
class GammaSpread:
    """Distribution of γ over the channels of one layer (Fig. 6)."""

    smallest: Float[Tensor, " T"]
    largest: Float[Tensor, " T"]
    edges: Float[Tensor, " edges"]
    counts: Int[Tensor, "T bins"]
    """Number of channels between two edges; the last bin includes its upper edge."""


def gamma_spread(network: SpikingNetwork, bins: int = 40) -> dict[str, GammaSpread]:
    """Return histograms of γ for every layer that has one for each step, over the range of all its steps.

    Args:
        network: any spiking network.
        bins: number of bins.

    >>> from bntt.models import mlp
    >>> gamma_spread(mlp(hidden=(4,), num_steps=2), bins=2)["fc1"].counts
    tensor([[0, 4],
            [0, 4]])
    """
    check_network(network, "gamma_spread")
    found = {}
    for name, norm in stepwise_norms(network).items():
        gamma = step_gamma(norm)
        low, high = float(gamma.min()), float(gamma.max())
        if high - low <= SAME * max(abs(low), abs(high)):
            low, high = low - 0.5, high + 0.5
        edges = torch.linspace(low, high, bins + 1)
        which = torch.bucketize(gamma.cpu().float(), edges[1:-1], right=True)
        counts = torch.stack([row.bincount(minlength=bins) for row in which])
        found[name] = GammaSpread(gamma.amin(1), gamma.amax(1), edges, counts)
    return found

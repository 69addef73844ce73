"""Change of γ and σ̄ from step to step; the paper's Section 3.3 assumes that there is none (Eq. 13)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.analysis.exit.early_exit import deviations, stepwise_norms
from bntt.nn.kinds import step_gamma
from bntt.nn.network.classifier import check_network
from bntt.nn.network.delays import delays
from bntt.nn.network.spiking_network import SpikingNetwork

QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class StepChanges:
    """Changes in one layer from each step to the next; NaN if γ of one of the two has no path to the readout."""

    gamma: Float[Tensor, " pairs"]
    """Mean over channels of |γ_{t+1} - γ_t|, divided by the mean of |γ_t|: 0 where the paper's assumption holds."""
    deviation: Float[Tensor, " pairs"]
    """The same for σ̄."""
    ratio: Float[Tensor, "pairs 3"]
    """a_t / a_{t+1} for a = γ/σ̄, which multiplies the leak of the equivalent neuron: 10 %, 50 % and 90 % quantile over
    channels; 1 where Eq. 15 is exact."""


def step_changes(network: SpikingNetwork) -> dict[str, StepChanges]:
    """Return how γ and the running statistics change between neighbouring steps, for layers with a γ for each step.

    Args:
        network: any spiking network.

    >>> from bntt.models import mlp
    >>> found = step_changes(mlp(hidden=(4,), num_steps=3))["fc1"]
    >>> found.gamma, found.ratio[0]
    (tensor([0., 0.]), tensor([1., 1., 1.]))
    """
    check_network(network, "step_changes")
    found, late = {}, delays(network)
    for name, norm in stepwise_norms(network).items():
        gamma, deviation = step_gamma(norm), deviations(norm)
        scale, ratio = gamma / deviation, gamma.new_empty(0, len(QUANTILES))
        if norm.num_steps > 1:
            quantiles = torch.tensor(QUANTILES).to(scale)
            ratio = torch.nanquantile(scale[:-1] / scale[1:], quantiles, dim=1).T.contiguous()
        steps = late[name].driven(norm.num_steps)
        without = [t for t in range(norm.num_steps - 1) if t not in steps or t + 1 not in steps]
        changes = StepChanges(_changes(gamma), _changes(deviation), ratio)
        for values in (changes.gamma, changes.deviation, changes.ratio):
            values[without] = torch.nan
        found[name] = changes
    return found


def _changes(rows: Float[Tensor, "T C"]) -> Float[Tensor, " pairs"]:
    return (rows[1:] - rows[:-1]).abs().mean(1) / rows[:-1].abs().mean(1)

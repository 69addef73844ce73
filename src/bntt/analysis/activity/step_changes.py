"""How much γ and σ̄ change from step to step: not at all, as the paper's Section 3.3 takes for granted (Eq. 13)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.analysis.activity.delays import delays
from bntt.analysis.exit.gamma import deviations, stepwise_norms
from bntt.nn.network.spiking_network import SpikingNetwork

QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class StepChanges:
    """Changes in one layer from each step to the next; NaN where γ of one of the two has no path to the readout."""

    gamma: Float[Tensor, " pairs"]
    """Mean over channels of |γ_{t+1} - γ_t|, divided by the mean of |γ_t|: 0 where the paper's assumption holds."""
    deviation: Float[Tensor, " pairs"]
    """The same of σ̄."""
    ratio: Float[Tensor, "pairs 3"]
    """a_t / a_{t+1} of a = γ/σ̄, which multiplies the leak of the equivalent neuron: 10 %, 50 % and 90 % quantile over
    channels; 1 where Eq. 15 is exact."""


def step_changes(network: SpikingNetwork) -> dict[str, StepChanges]:
    """Compare neighbouring steps in every layer that has a γ for each step.

    >>> from bntt.models import mlp
    >>> found = step_changes(mlp(hidden=(4,), num_steps=3))["fc1"]
    >>> found.gamma, found.ratio[0]
    (tensor([0., 0.]), tensor([1., 1., 1.]))
    """
    found, late = {}, delays(network)
    for name, norm in stepwise_norms(network).items():
        gamma, deviation = norm.gamma.detach(), deviations(norm)
        scale = gamma / deviation
        pairs = itertools.pairwise(scale)
        rows = [torch.nanquantile(now / after, torch.tensor(QUANTILES).to(scale)) for now, after in pairs]
        ratio = torch.stack(rows) if rows else scale.new_empty(0, len(QUANTILES))
        steps = late[name].driven(norm.num_steps)
        heard = torch.tensor([t in steps and t + 1 in steps for t in range(norm.num_steps - 1)], dtype=torch.bool)
        found[name] = StepChanges(*(_only(heard, rows) for rows in (_changes(gamma), _changes(deviation), ratio)))
    return found


def _changes(rows: Float[Tensor, "T C"]) -> Float[Tensor, " pairs"]:
    return (rows[1:] - rows[:-1]).abs().mean(1) / rows[:-1].abs().mean(1)


def _only(heard: Tensor, rows: Tensor) -> Tensor:
    rows = rows.clone()
    rows[~heard.to(rows.device)] = torch.nan
    return rows

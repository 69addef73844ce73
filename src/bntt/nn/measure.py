"""What a pass is asked to measure, and what comes back in its state."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Measure:
    """What to measure of a pass, in training as in evaluation; it comes back in ``state.measured``.

    >>> Measure(spikes=True).spikes
    True
    """

    spikes: bool = False
    """Spikes of every layer by step and channel."""


@dataclass(frozen=True)
class Measured:
    """What a pass measured, of the steps that it took."""

    spikes: dict[str, Float[Tensor, "S C"]]
    """For each layer, spikes per step and channel, summed over batch and space, before its pool (float64)."""
    neurons: dict[str, int]
    """For each layer, its number of neurons (C·H·W)."""

"""How a fused run works: what it keeps, in which precision, whose kernels, how much at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bntt.ops.crossover import EventChoice, goes_by_events
from bntt.ops.event_conv import Precision, Spikes, Synapse
from bntt.ops.norm_lif import Kernels

Recompute = Literal["auto", "never"] | int
"""Which steps' currents and spikes are kept for the backward pass: see :mod:`bntt.ops.recompute`."""
CHUNK_BYTES = 16 << 20
"""Of a layer's current in one chunk of time steps: what a processor's last-level cache holds."""


@dataclass(frozen=True)
class How:
    """How a run works: none of it changes what is computed, but for rounding."""

    events: EventChoice = "measured"
    recompute: Recompute = "auto"
    precision: Precision = "fp32"
    kernels: Kernels = "cpu"

    def by_events(self, synapse: Synapse, source: Spikes) -> tuple[bool, bool]:
        """Whether forward pass and weight gradient go event-driven, which only the processor does."""
        return (False, False) if self.kernels != "cpu" else goes_by_events(synapse, source, self.events)

    def density(self, fired: Tensor, counts: Tensor) -> float:
        """Events per place. A GPU is not asked: it would have to be waited for, and a graph cannot answer."""
        return float(fired.sum()) / max(1, counts.numel()) if self.kernels == "cpu" else 1.0

    def chunk_steps(self, *values: Tensor) -> int:
        """How many steps of the largest are worked on at a time: on a GPU all."""
        if self.kernels != "cpu":
            return len(values[0])
        return max(1, CHUNK_BYTES // (4 * max(one[0].numel() for one in values)))

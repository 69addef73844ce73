"""What a pass is asked to measure, and what comes back in its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bntt.engine.graph.recording import Measure, Seen
from bntt.engine.presynaptic import Arrivals, joined_arrivals
from bntt.ops.norm import Moments, joined_moments

__all__ = ["Arrivals", "Currents", "LayerMeasures", "Measure", "Measured", "joined", "over_time"]


@dataclass(frozen=True)
class Currents:
    """What drove a layer's neurons."""

    histogram: Int[Tensor, "S bins"]
    """How many were below the first edge, between each two, and from the last edge on."""
    maximum: Float[Tensor, " S"]


@dataclass(frozen=True)
class LayerMeasures:
    """What a pass measured of one layer, of the steps that it took; None where it was not asked for."""

    neurons: int
    """C·H·W; 0 where it has none."""
    spikes: Float[Tensor, "S C"] | None = None
    """By step and channel, summed over batch and space, before the pool (float64)."""
    places: Float[Tensor, "S C *space"] | None = None
    """By step and neuron, summed over the batch."""
    samples: Float[Tensor, "S B"] | None = None
    """By step and sample, summed over the neurons."""
    current: Currents | None = None
    """Of the neurons' input, the normalised current."""
    moments: Moments | None = None
    """Of the synaptic current, before it is normalised."""
    gradient: Float[Tensor, " S"] | None = None
    """‖dL/d(synaptic current)‖₂ of each step: NaN until a backward pass has come by."""
    membrane: Float[Tensor, "S B"] | None = None
    """Of one neuron, after each step's reset."""
    arrivals: Arrivals | None = None
    """What came to the weights; None also where there are none."""


Measured = dict[str, LayerMeasures]
"""By layer."""


def of_seen(seen: Seen, measure: Measure, neurons: int, *, flat: bool) -> LayerMeasures:
    """What the kernels saw of a layer, in the order that modules have: channels before space.

    Args:
        flat: whether the layer has channels only.
    """
    places = None if seen.places is None else seen.places.double().permute(0, 3, 1, 2)
    return LayerMeasures(
        neurons,
        seen.spikes.double() if measure.spikes and seen.spikes is not None else None,
        places.flatten(1) if places is not None and flat else places,
        None if seen.samples is None else seen.samples.double(),
        None if seen.current is None or seen.largest is None else Currents(seen.current, seen.largest),
        seen.moments,
        seen.gradient,
        arrivals=seen.arrivals,
    )


def joined(parts: Sequence[Measured]) -> Measured:
    """What was measured of consecutive steps, as of one pass over them.

    >>> part = {"fc1": LayerMeasures(neurons=2, spikes=torch.ones(3, 2))}
    >>> joined([part, part])["fc1"].spikes.shape
    torch.Size([6, 2])
    """
    if len(parts) == 1:
        return parts[0]
    found = {}
    for name, first in parts[0].items():
        every = {f.name: [getattr(part[name], f.name) for part in parts] for f in fields(first) if f.name != "neurons"}
        asked = {field: over_time(values) for field, values in every.items() if values[0] is not None}
        found[name] = LayerMeasures(first.neurons, **asked)
    return found


def over_time(values: Sequence[Any]) -> Any:
    """Tensors, currents, moments or arrivals of consecutive steps as those of all of them.

    >>> over_time([torch.zeros(1), torch.ones(1)])
    tensor([0., 1.])
    """
    if isinstance(values[0], Tensor):
        return torch.cat(list(values))
    if isinstance(values[0], Moments):
        return joined_moments(values)
    if isinstance(values[0], Arrivals):
        return joined_arrivals(values)
    return Currents(over_time([v.histogram for v in values]), over_time([v.maximum for v in values]))

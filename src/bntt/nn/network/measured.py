"""Measurements of a pass, returned in its state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bntt.engine.graph.recording import Measure, Seen
from bntt.engine.presynaptic import Arrivals, joined_arrivals
from bntt.engine.private import being_traced, is_mapped
from bntt.ops.norm import Moments, joined_moments

__all__ = ["Arrivals", "Currents", "LayerMeasures", "Measure", "Measured", "joined", "over_time"]


@dataclass(frozen=True)
class Currents:
    """Distribution of the input of a layer's neurons; returned by :meth:`bntt.nn.SpikingNetwork.advance`."""

    histogram: Int[Tensor, "S bins"]
    """Counts below the first edge, between neighbouring edges, and from the last edge on."""
    maximum: Float[Tensor, " S"]
    """Largest input at each step."""


@dataclass(frozen=True)
class LayerMeasures:
    """Measurements of one layer in the steps of a pass; returned by :meth:`bntt.nn.SpikingNetwork.advance`.

    What was not requested is None. No gradient passes through any of them.
    """

    neurons: int
    """Number of neurons, C·H·W; 0 if it has none."""
    spikes: Float[Tensor, "S C"] | None = None
    """Spikes by step and channel, summed over batch and space, before the pool (float64)."""
    places: Float[Tensor, "S C *space"] | None = None
    """Spikes by step and neuron, summed over the batch."""
    samples: Float[Tensor, "S B"] | None = None
    """Spikes by step and sample, summed over the neurons."""
    current: Currents | None = None
    """Distribution of the neurons' input, the normalised current."""
    moments: Moments | None = None
    """Moments of the synaptic current, before it is normalised."""
    gradient: Float[Tensor, " S"] | None = None
    """‖dL/d(synaptic current)‖₂ of each step: NaN until the backward pass."""
    membrane: Float[Tensor, "S B"] | None = None
    """Membrane of one neuron, after each step's reset."""
    arrivals: Arrivals | None = None
    """Arrivals at the weights; None also if there are none."""


Measured = dict[str, LayerMeasures]
"""Measurements by layer."""


def of_seen(seen: Seen, measure: Measure, neurons: int, *, flat: bool) -> LayerMeasures:
    """Convert the kernels' record of a layer to the modules' order: channels before space."""
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
    """Join the measurements of consecutive steps into those of one pass over them."""
    if len(parts) == 1:
        return parts[0]
    found = {}
    for name, first in parts[0].items():
        every = {f.name: [getattr(part[name], f.name) for part in parts] for f in fields(first) if f.name != "neurons"}
        asked = {field: over_time(values) for field, values in every.items() if values[0] is not None}
        found[name] = LayerMeasures(first.neurons, **asked)
    return found


def over_time(values: Sequence[Any]) -> Any:
    """Join tensors, currents, moments or arrivals of consecutive steps."""
    if isinstance(values[0], Tensor):
        return torch.cat(list(values))
    if isinstance(values[0], Moments):
        return joined_moments(values)
    if isinstance(values[0], Arrivals):
        return joined_arrivals(values)
    return Currents(over_time([v.histogram for v in values]), over_time([v.maximum for v in values]))


@dataclass(frozen=True)
class Trace:
    """Record of a network's activity at every step; returned by :meth:`bntt.nn.SpikingClassifier.trace`.

    It holds no spike tensors. ``logits[t]`` is the network's output if it stops after step t: its voltage divided by t
    + 1.
    """

    logits: Float[Tensor, "T B K"]
    """Output after every step."""
    spikes: dict[str, Float[Tensor, "T C"]]
    """Spikes per step and channel, summed over batch and space (float64), by layer."""
    neurons: dict[str, int]
    """Number of neurons (C·H·W), by layer."""

    @property
    def firing_rate(self) -> dict[str, Float[Tensor, " T"]]:
        """Spikes per neuron at every step, from 0 to 1, by layer."""
        batch = self.logits.shape[1]
        return {name: count.sum(1) / (batch * self.neurons[name]) for name, count in self.spikes.items()}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode inside the block; afterwards restore the mode of every submodule.

    Args:
        module: any module.

    >>> layer = nn.Dropout()
    >>> with evaluating(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training


def being_captured(x: Tensor) -> bool:
    """Return True while a CUDA graph captures what is done with a tensor: its values cannot be read."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def check_finite_input(x: Tensor, first: int) -> None:
    """Refuse NaN and infinity in an input ``[T, B, ...]`` whose first step is ``first``, where it has values."""
    if not x.is_floating_point() or x.is_meta or torch.compiler.is_compiling() or being_traced() or is_mapped(x):
        return
    if being_captured(x):
        return
    seen = x[:1] if x.stride(0) == 0 else x  # one image for all steps, as direct coding gives it
    if math.isfinite(seen.detach().sum()) or bool(torch.isfinite(seen).all()):  # NaN or ∞ reaches the sum
        return
    step, sample = (~torch.isfinite(seen)).flatten(2).any(2).nonzero()[0].tolist()
    raise ValueError(
        f"the network's input is not finite, first at step t={first + step} in sample {sample} of the batch: "
        f"a NaN membrane would never fire again, and nothing would show it"
    )


torch.serialization.add_safe_globals([LayerMeasures, Currents, Arrivals])  # a state may hold them

"""Measurements of every layer that a pass is asked for, and their results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from bntt.engine.layer_spec import Affine
from bntt.engine.presynaptic import Arrivals, joined_arrivals
from bntt.ops.norm import Moments, joined_moments


@dataclass(frozen=True)
class Measure:
    """The measurements to take in a pass, in training as in evaluation.

    Raises:
        ValueError: if the edges are not two or more finite, ascending numbers, or if a membrane and gradients are both
            requested.

    >>> Measure(places=True, current=(-1.0, 0.0, 1.0)).every_place
    True
    """

    spikes: bool = False
    """Spikes by step and channel."""
    places: bool = False
    """Spikes by step and place, before the pool."""
    samples: bool = False
    """Spikes by step and sample."""
    current: Sequence[float] = ()
    """Edges of a histogram of the neurons' input, the normalised current; () is none."""
    moments: bool = False
    """Mean and variance of the synaptic current."""
    gradient: bool = False
    """The norm of the loss's gradient towards the synaptic current."""
    membrane: tuple[str, tuple[int, ...]] | None = None
    """A layer and the place of one of its neurons, ``("conv1", (c, y, x))`` or ``("fc1", (c,))``: its membrane in every
    sample, after each step's reset."""
    arrivals: bool = False
    """Arrivals at the weights, by step and place."""

    def __bool__(self) -> bool:
        """Return True if anything is asked for."""
        return self != Measure()

    def __post_init__(self) -> None:
        edges = tuple(map(float, self.current))
        object.__setattr__(self, "current", edges)
        if edges and (len(edges) < 2 or not all(map(math.isfinite, edges)) or any(a >= b for a, b in pairwise(edges))):
            raise ValueError(f"edges of a histogram must be two or more finite numbers that ascend, got {edges}")
        if self.membrane is not None and not (len(self.membrane) == 2 and isinstance(self.membrane[1], tuple)):
            raise ValueError(
                f"membrane must be a layer and a neuron's place, ('conv1', (c, y, x)), got {self.membrane}"
            )
        if self.membrane is not None and self.gradient:
            raise ValueError("a membrane is measured step by step, gradients over all steps: measure one at a time")

    @property
    def every_place(self) -> bool:
        """True if it asks for spikes by place or sample, which the pooled counts do not give."""
        return self.places or self.samples


@dataclass(frozen=True)
class Seen:
    """The measurements of one layer over the S steps of a pass; None where not asked for."""

    spikes: Int64[Tensor, "S C"] | None = None
    """Spikes, summed over batch and space, before the pool; always, where there are neurons."""
    places: Int64[Tensor, "S H W C"] | None = None
    """Spikes, summed over the batch, before the pool."""
    samples: Int64[Tensor, "S B"] | None = None
    """Spikes of each sample."""
    current: Int64[Tensor, "S bins"] | None = None
    """Number of values of z, Eq. 9's input of the neurons, below the first edge, from each edge on, and above."""
    largest: Float[Tensor, " S"] | None = None
    """The largest z."""
    moments: Moments | None = None
    """Mean and biased variance of the synaptic current by step and channel."""
    gradient: Float64[Tensor, " S"] | None = None
    """‖dL/d(synaptic current)‖₂ of each step: NaN until a backward pass writes it here."""
    arrivals: Arrivals | None = None
    """Arrivals at its weights."""


def joined_seen(parts: Sequence[Seen]) -> Seen:
    """Join the measurements of consecutive steps into those of one run."""
    if len(parts) == 1:
        return parts[0]

    tables = {}
    for name in ("spikes", "places", "samples", "current", "largest", "gradient"):
        rows = [getattr(part, name) for part in parts if getattr(part, name) is not None]
        tables[name] = torch.cat(rows) if rows else None
    arrived = [part.arrivals for part in parts if part.arrivals is not None]
    moments = moments_taken([part.moments for part in parts])
    return Seen(**tables, moments=moments, arrivals=joined_arrivals(arrived) if arrived else None)


def moments_taken(parts: Sequence[Moments | None]) -> Moments | None:
    """Join the moments of consecutive steps into those of one run; None where none were taken."""
    found = [part for part in parts if part is not None]
    return joined_moments(found) if found else None


def distribution(
    steps: Iterable[Tensor], edges: Sequence[float]
) -> tuple[Int64[Tensor, "S bins"], Float[Tensor, " S"]]:
    """Count each step's values below the first edge, from each edge on, and above the last; and find the largest."""
    counts, largest = [], []
    for values in steps:
        bounds = torch.tensor(edges, dtype=values.dtype, device=values.device)
        which = torch.bucketize(values.flatten(), bounds, out_int32=True, right=True)
        counts.append(torch.bincount(which, minlength=len(edges) + 1))
        largest.append(values.max())
    return torch.stack(counts), torch.stack(largest)


def histogram(
    current: Float[Tensor, "S B H W C"], affine: Affine, edges: Sequence[float]
) -> tuple[Int64[Tensor, "S bins"], Float[Tensor, " S"]]:
    """Count the values of ``z = scale (current - mean) + shift`` of each step in bins, and return the largest.

    Bins: below the first edge, between each two, above the last. NaN counts as above all edges, and as the largest.
    """
    tables = zip(affine.mean, affine.scale, affine.shift, strict=True)
    normalised = (
        (values.float() - mean).mul_(scale).add_(shift)
        for values, (mean, scale, shift) in zip(current, tables, strict=True)
    )
    return distribution(normalised, edges)


def write_norms(grad_current: Float[Tensor, "S *rest"], out: Float64[Tensor, " S"]) -> None:
    """Write the norm of each step's gradient into ``out``."""
    for step, values in enumerate(grad_current):
        out[step] = torch.linalg.vector_norm(values, dtype=torch.float64)

"""Measurements of every layer that a pass is asked for, and their results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Float64, Int, Int64, Shaped
from torch import Tensor

from bntt.engine.layer_spec import Affine
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Lease
from bntt.ops.norm import Moments, joined_moments

MOST_SIZES = 4096
"""Limit on distinct sizes: more than averages of spikes have, unless taken over whole images of 64 by 64."""
WITHIN = 1e-3
"""Tolerance for a value to count as a whole number of spikes, since averages are rounded."""


@dataclass(frozen=True)
class Arrivals:
    """The arrivals at the weights of a layer, by step and place, summed over batch and channels."""

    amount: Float64[Tensor, "S H W"]
    """Σ|x|: k spikes that were averaged over an area of A places are worth k / A."""
    active: Int64[Tensor, "S H W"]
    """Number of x that are not 0."""
    sizes: Float64[Tensor, " N"] | None
    """Every |x| that may have occurred, except 0, each once; None if there were more than ``MOST_SIZES``."""

    def __add__(self, other: object) -> Arrivals:
        """Add the arrivals of more samples in the same steps."""
        if not isinstance(other, Arrivals):
            return NotImplemented
        return Arrivals(self.amount + other.amount, self.active + other.active, _together([self.sizes, other.sizes]))

    def are_whole(self, worth: float) -> bool:
        """Return True if every x is a whole number of spikes worth ``worth`` each."""
        if self.sizes is None:
            return False
        counts = self.sizes / worth
        return bool(((counts - counts.round()).abs() < WITHIN).all())  # written so that NaN fails


def joined_arrivals(parts: Sequence[Arrivals]) -> Arrivals:
    """Join the arrivals of consecutive steps into those of one run."""
    amount, active = torch.cat([part.amount for part in parts]), torch.cat([part.active for part in parts])
    return Arrivals(amount, active, _together([part.sizes for part in parts]))


def _together(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Merge the sizes of several inputs."""
    known = [sizes for sizes in parts if sizes is not None]
    return _few(torch.cat(known)) if len(known) == len(parts) else None


def _few(sizes: Tensor) -> Tensor | None:
    """Return each size once; None if there are too many."""
    if len(sizes) > 4 * MOST_SIZES and len(torch.unique(sizes[: 2 * MOST_SIZES])) > MOST_SIZES:
        return None
    found: Tensor = torch.unique(sizes)
    return found.double() if len(found) <= MOST_SIZES else None


def arrivals(x: Spikes, lease: Lease, *, places: bool = True) -> Arrivals:
    """Count what a layer's input ``[S, B, H, W, C]`` brings to its weights."""
    steps, values = len(x.values), x.values
    if steps > 1 and values.stride(0) == 0:  # one image for all steps, as direct coding gives it
        values = values[:1]
    amount, active, sizes = _counted(values, x.largest, lease) if values.dtype.itemsize == 1 else _added(values)
    amount = amount.double()
    if x.scale != 1:
        amount, sizes = amount * x.scale, None if sizes is None else sizes * x.scale
    if not places:
        amount, active = amount.sum((1, 2), keepdim=True), active.sum((1, 2), keepdim=True)
    if len(values) < steps:
        amount, active = amount.repeat(steps, 1, 1), active.repeat(steps, 1, 1)
    return Arrivals(amount, active, sizes)


Counted = tuple[Tensor, Tensor, Tensor | None]
"""Amount, active and sizes."""


def _added(values: Shaped[Tensor, "S B H W C"]) -> Counted:
    """Count real numbers, one step at a time."""
    amount = torch.stack([step.abs().sum((0, 3), dtype=torch.float64) for step in values])
    sizes = _together([_few(step[step != 0].abs()) for step in values])
    return amount, torch.stack([(step != 0).sum((0, 3)) for step in values]), sizes


def _counted(values: Shaped[Tensor, "S B H W C"], largest: int, lease: Lease) -> Counted:
    """Count integer counts; or signed spikes, whose sign does not matter here."""
    if values.device.type != "cpu":
        wide = values.to(torch.int16)
        sizes = _whole(int(wide.abs().max()), values)
        return wide.abs().sum((1, 4), dtype=torch.int64), (wide != 0).sum((1, 4)), sizes
    buffer = lease.take(*values.shape, dtype=values.dtype)
    if values.dtype == torch.int8:
        values = torch.abs(values, out=buffer).view(torch.uint8)  # |-128| is 128 here
        largest = int(values.max())
    amount = active = _over_batch(values, largest)
    if largest > 1:
        active = _over_batch(torch.clamp(values, max=1, out=buffer.view(torch.uint8)), 1)
    lease.give(buffer)
    return amount, active, _whole(largest, values)


def _whole(largest: int, values: Tensor) -> Tensor:
    """Return all possible counts."""
    return torch.arange(1, largest + 1, dtype=torch.float64, device=values.device)


def _over_batch(counts: Shaped[Tensor, "S B H W C"], largest: int) -> Int64[Tensor, "S H W"]:
    """Sum over batch and channels: in bytes as long as none can overflow, which is thirty times as fast."""
    parts = torch.split(counts, max(1, 255 // max(1, largest)), 1)
    sums = [part.sum(1, dtype=torch.uint8) for part in parts]
    if len(sums) == 1:
        return sums[0].sum(3, dtype=torch.int64)
    return torch.stack(sums).sum((0, 4), dtype=torch.int64)


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
class Currents:
    """Distribution of the input of a layer's neurons; returned by :meth:`bntt.nn.SpikingNetwork.advance`."""

    histogram: Int[Tensor, "S bins"]
    """Counts below the first edge, between neighbouring edges, and from the last edge on."""
    maximum: Float[Tensor, " S"]
    """Largest input at each step."""


@dataclass(frozen=True)
class LayerMeasures:
    """Measurements of one layer in the steps of a pass; returned by :meth:`bntt.nn.SpikingNetwork.advance`.

    What was not requested is None. No gradient passes through any of them. Inside the engine spikes are int64, those of
    places ``[S, H, W, C]``, and counted by step and channel in every pass.
    """

    neurons: int = 0
    """Number of neurons, C·H·W; 0 if it has none."""
    spikes: Shaped[Tensor, "S C"] | None = None
    """Spikes by step and channel, summed over batch and space, before the pool (float64)."""
    places: Shaped[Tensor, "S *place"] | None = None
    """Spikes by step and neuron, ``[S, C, ...]``, summed over the batch."""
    samples: Shaped[Tensor, "S B"] | None = None
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


def join_steps(parts: Sequence[Any]) -> Any:
    """Join tables, or records of them, of consecutive steps into those of one run; None if no part has any."""
    found = [part for part in parts if part is not None]
    if len(found) < 2:
        return found[0] if found else None
    first = found[0]
    if isinstance(first, Tensor):
        return torch.cat(found)
    if isinstance(first, int):  # the same in all steps
        return first
    if isinstance(first, Moments | Arrivals):
        return joined_moments(found) if isinstance(first, Moments) else joined_arrivals(found)
    return type(first)(**{one.name: join_steps([getattr(part, one.name) for part in found]) for one in fields(first)})


def distribution(steps: Iterable[Tensor], edges: Sequence[float]) -> Currents:
    """Count each step's values below the first edge, from each edge on, and above the last; and find the largest."""
    counts, largest = [], []
    for values in steps:
        bounds = torch.tensor(edges, dtype=values.dtype, device=values.device)
        which = torch.bucketize(values.flatten(), bounds, out_int32=True, right=True)
        counts.append(torch.bincount(which, minlength=len(edges) + 1))
        largest.append(values.max())
    return Currents(torch.stack(counts), torch.stack(largest))


def histogram(current: Float[Tensor, "S B H W C"], affine: Affine, edges: Sequence[float]) -> Currents:
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

"""Arrivals at a layer's weights, counted by place: the source of every synaptic operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Lease

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

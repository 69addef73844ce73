"""What arrives at a layer's weights, counted by place: what every synaptic operation comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Lease


@dataclass(frozen=True)
class Arrivals:
    """What arrived at the weights of a layer, by step and place, summed over batch and channels.

    A fully connected layer has one place.
    """

    amount: Float64[Tensor, "S H W"]
    """Σ|x|: k spikes that were averaged over an area of A places are worth k / A."""
    active: Int64[Tensor, "S H W"]
    """How many x are not 0."""


def joined_arrivals(parts: Sequence[Arrivals]) -> Arrivals:
    """Of consecutive steps, as of one run of them."""
    return Arrivals(torch.cat([part.amount for part in parts]), torch.cat([part.active for part in parts]))


def arrivals(x: Spikes, lease: Lease, *, places: bool = True) -> Arrivals:
    """What a layer's input ``[S, B, H, W, C]`` brings to its weights.

    Args:
        lease: where buffers come from.
        places: whether the weights know places; else all of an image counts as one.

    >>> from bntt.engine.workspace import WORKSPACE
    >>> counts = torch.tensor([[[[[0, 3]]], [[[1, 2]]]]], dtype=torch.uint8)
    >>> with WORKSPACE.lease() as lease:
    ...     found = arrivals(Spikes(counts, scale=0.25, largest=4), lease)
    >>> found.amount.item(), found.active.item()
    (1.5, 3)
    """
    steps, values = len(x.values), x.values
    if steps > 1 and values.stride(0) == 0:  # one image for all steps, as direct coding gives it
        values = values[:1]
    amount, active = _counted(values, x.largest, lease) if values.dtype.itemsize == 1 else _added(values)
    amount = amount.double()
    if x.scale != 1:
        amount *= x.scale
    if not places:
        amount, active = amount.sum((1, 2), keepdim=True), active.sum((1, 2), keepdim=True)
    if len(values) < steps:
        amount, active = amount.repeat(steps, 1, 1), active.repeat(steps, 1, 1)
    return Arrivals(amount, active)


def _added(values: Shaped[Tensor, "S B H W C"]) -> tuple[Tensor, Tensor]:
    """Of real numbers, a step at a time."""
    amount = torch.stack([step.abs().sum((0, 3), dtype=torch.float64) for step in values])
    return amount, torch.stack([(step != 0).sum((0, 3)) for step in values])


def _counted(values: Shaped[Tensor, "S B H W C"], largest: int, lease: Lease) -> tuple[Tensor, Tensor]:
    """Of counts; or of signed spikes, whose sign says nothing here."""
    if values.device.type != "cpu":
        wide = values.to(torch.int16)
        return wide.abs().sum((1, 4), dtype=torch.int64), (wide != 0).sum((1, 4))
    buffer = lease.take(*values.shape, dtype=values.dtype)
    if values.dtype == torch.int8:
        values = torch.abs(values, out=buffer).view(torch.uint8)  # |-128| is 128 here
        largest = int(values.max())
    amount = active = _over_batch(values, largest)
    if largest > 1:
        active = _over_batch(torch.clamp(values, max=1, out=buffer.view(torch.uint8)), 1)
    lease.give(buffer)
    return amount, active


def _over_batch(counts: Shaped[Tensor, "S B H W C"], largest: int) -> Int64[Tensor, "S H W"]:
    """The sum over batch and channels: in bytes as long as none can overflow, which is thirty times as fast."""
    parts = torch.split(counts, max(1, 255 // max(1, largest)), 1)
    sums = [part.sum(1, dtype=torch.uint8) for part in parts]
    if len(sums) == 1:
        return sums[0].sum(3, dtype=torch.int64)
    return torch.stack(sums).sum((0, 4), dtype=torch.int64)

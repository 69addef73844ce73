"""What arrives at a layer's weights, counted by place: what every synaptic operation comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from bntt.engine.synapse import Spikes


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


def arrivals(x: Spikes, *, places: bool = True) -> Arrivals:
    """What a layer's input ``[S, B, H, W, C]`` brings to its weights.

    Args:
        places: whether the weights know places; else all of an image counts as one.

    >>> counts = torch.tensor([[[[[0, 3]]], [[[1, 2]]]]], dtype=torch.uint8)
    >>> found = arrivals(Spikes(counts, scale=0.25, largest=4))
    >>> found.amount.item(), found.active.item()
    (1.5, 3)
    """
    values = x.values[:1] if x.values.stride(0) == 0 else x.values  # one image for all steps, as direct coding gives it
    amount, active = _counted(values, x.largest) if values.dtype.itemsize == 1 else _added(values)
    amount = amount.double() * x.scale
    if not places:
        amount, active = amount.sum((1, 2), keepdim=True), active.sum((1, 2), keepdim=True)
    steps = len(x.values)
    return Arrivals(amount.expand(steps, -1, -1).contiguous(), active.expand(steps, -1, -1).contiguous())


def _added(values: Shaped[Tensor, "S B H W C"]) -> tuple[Tensor, Tensor]:
    """Of real numbers, a step at a time."""
    amount = torch.stack([step.abs().sum((0, 3), dtype=torch.float64) for step in values])
    return amount, torch.stack([(step != 0).sum((0, 3)) for step in values])


def _counted(values: Shaped[Tensor, "S B H W C"], largest: int) -> tuple[Tensor, Tensor]:
    """Of counts; or of signed spikes, whose sign says nothing here."""
    if values.dtype == torch.int8:
        values = values.contiguous().abs().view(torch.uint8)  # |-128| is 128 here
        largest = int(values.max())
    if values.device.type != "cpu":
        return values.sum((1, 4), dtype=torch.int64), (values != 0).sum((1, 4))
    amount = torch.stack([_over_batch(step, largest) for step in values])
    return amount, amount if largest <= 1 else torch.stack([_over_batch(step.clamp(max=1), 1) for step in values])


def _over_batch(counts: Shaped[Tensor, "B H W C"], largest: int) -> Int64[Tensor, "H W"]:
    """The sum over batch and channels: in bytes as long as none can overflow, which is thirty times as fast."""
    parts = torch.split(counts, max(1, 255 // max(1, largest)))
    return torch.stack([part.sum(0, dtype=torch.uint8) for part in parts]).sum((0, 3), dtype=torch.int64)

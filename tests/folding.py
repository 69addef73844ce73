"""Folded neurons for tests: random ones."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from bntt.ops.folded import FoldedNeuron, Table
from bntt.ops.lif import fire_after, fire_before, hard_reset, soft_reset

RULES = list(itertools.product((fire_after, fire_before), (soft_reset, hard_reset)))
SHAPES = ("number", "step", "channel", "both")
"""What a table may be."""


def table(shape: str, steps: int, channels: int, low: float, high: float, rng: torch.Generator) -> Table:
    """Uniform random numbers."""
    rows, columns = {"number": (1, 1), "step": (steps, 1), "channel": (1, channels), "both": (steps, channels)}[shape]
    values = torch.rand(rows, columns, generator=rng) * (high - low) + low
    return values.item() if shape == "number" else values


def random_neuron(shape: str, steps: int, channels: int, rng: torch.Generator, **options) -> FoldedNeuron:
    """With tables of one shape, turned in about a third of their places; its gain and bias too."""

    def draw(low: float, high: float) -> Table:
        return table(shape, steps, channels, low, high, rng)

    turned = torch.as_tensor(draw(-1, 2)) < 0
    threshold = torch.as_tensor(draw(0.4, 1.2)) * torch.where(turned, -1.0, 1.0)
    if shape == "number":
        turned, threshold = bool(turned), threshold.item()
    leak = 1.3 if steps < 10 else 0.95  # which may not grow for long
    return FoldedNeuron(
        leak=draw(-leak, leak),
        threshold=threshold,
        amount=draw(0.3, 1.3),
        gain=draw(0.5, 1.5),
        bias=draw(-0.3, 0.3),
        turned=turned,
        slope=draw(0.2, 2),
        **options,
    )


def bare(neuron: FoldedNeuron, steps: int, channels: int) -> tuple[FoldedNeuron, Tensor, Tensor]:
    """Without gain and bias, and these, ``[T, C]``."""
    gain, bias = (torch.as_tensor(one).expand(steps, channels).contiguous() for one in (neuron.gain, neuron.bias))
    return neuron.with_tables(gain=1.0, bias=0.0), gain, bias

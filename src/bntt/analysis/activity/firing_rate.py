"""Spike activity by layer and time step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Activity:
    """Spikes of every layer, step and channel, summed over ``presentations`` of a sample.

    >>> import torch
    >>> Activity(2, {"conv1": torch.tensor([[3.0], [1.0]])}, {"conv1": 4}).rate("conv1")
    tensor([0.3750, 0.1250])
    """

    presentations: int
    """Samples times draws."""
    spikes: dict[str, Tensor]
    """``[T, C]`` for each layer."""
    neurons: dict[str, int]
    """Neurons of each layer."""

    def rate(self, layer: str) -> Tensor:
        """Firing rate at every step, ``[T]``: spikes per neuron, 0 to 1."""
        return self.spikes[layer].sum(1) / (self.presentations * self.neurons[layer])

    def spike_rate(self, layer: str) -> float:
        """Supplement D's S_l: spikes of the layer over all T steps, per neuron and sample."""
        return float(self.spikes[layer].sum() / (self.presentations * self.neurons[layer]))

    def spikes_per_sample(self) -> float:
        """Spikes of all layers and steps, per sample."""
        return sum(float(counts.sum()) for counts in self.spikes.values()) / self.presentations

"""Neurons that fire for some steps of a pass: the scan over a chunk of currents, and what is measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph.node import How
from bntt.engine.graph.recording import Measure, Seen, histogram
from bntt.engine.layer_spec import Affine, PoolSize, neuron_steps
from bntt.engine.scan import pooled_shape, scan
from bntt.engine.synapse import Spikes
from bntt.ops.folded import AnyNeuron


@dataclass(frozen=True)
class Firing:
    """The neurons of one node, while steps go through it: their membrane and the spikes they emit."""

    neuron: AnyNeuron
    """The neurons of all steps of the run."""
    first: int
    """Index of the first step that goes through."""
    window: PoolSize
    how: How
    membrane: Tensor
    """``[B, H, W, C]``; it advances from chunk to chunk."""
    counts: Tensor
    """Buffer for the spikes of every window and step."""

    @staticmethod
    def begin(
        neuron: AnyNeuron, window: PoolSize, how: How, current: Tensor, start: Tensor | None, first: int
    ) -> Firing:
        """Start on a current of all steps, ``[S, B, H, W, C]``, from a membrane; None is rest."""
        lease, device = how.lease, current.device
        if start is not None and how.in_place and lease.owns(start):
            membrane = start
        else:
            membrane = lease.take(*current.shape[1:], device=device)
            membrane = membrane.zero_() if start is None else membrane.copy_(start)
        counts = lease.take(*pooled_shape(current, window), dtype=torch.uint8, device=device)
        return Firing(neuron, first, window, how, membrane, counts)

    def chunk(self, current: Tensor, affine: Affine, begin: int, measure: Measure) -> Seen:
        """Run the next steps, of which ``begin`` is the first, counted from the pass's first."""
        before, lease, kernels = None, self.how.lease, self.how.compute.kernels
        if measure.every_place:
            before = lease.take(*self.membrane.shape, device=self.membrane.device).copy_(self.membrane)
        end = begin + len(current)
        counts, neuron = self.counts[begin:end], neuron_steps(self.neuron, self.first + begin, self.first + end)
        seen = Seen(scan(current, affine, neuron, self.window, counts, self.membrane, kernels=kernels))
        if before is not None:
            every = lease.take(*current.shape, dtype=torch.uint8, device=current.device)
            scan(current, affine, neuron, (1, 1), every, before, kernels=kernels)
            places = every.sum(1, dtype=torch.int64) if measure.places else None
            samples = every.flatten(2).sum(2, dtype=torch.int64) if measure.samples else None
            seen = replace(seen, places=places, samples=samples)
            lease.give(every, before)
        if measure.current:
            counted, largest = histogram(current, affine.before(neuron), measure.current)
            seen = replace(seen, current=counted, largest=largest)
        return seen

    def spikes(self, fired: Tensor) -> Spikes:
        """Return the output spikes, given the number ``fired``."""
        area = self.window[0] * self.window[1]
        return Spikes(self.counts, 1 / area, area, density(self.how.compute, fired, self.counts))


def density(compute: Compute, fired: Tensor, counts: Tensor) -> float:
    """Return events per place. A GPU is not queried: that would block, and cannot be captured in a graph."""
    return float(fired.sum()) / max(1, counts.numel()) if compute.kernels == "cpu" else 1.0


def fired(seen: Sequence[Seen]) -> Tensor:
    """Join the spikes of consecutive parts, by step and channel."""
    return torch.cat([part.spikes for part in seen if part.spikes is not None])

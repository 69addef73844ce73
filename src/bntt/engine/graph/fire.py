"""What follows the normalisation of a layer, forward and back (Eq. 9; 10 and 11): neurons that fire, or, where a
residual sum takes the normalised current, none: plain PyTorch, which costs next to nothing beside the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bntt.engine.compute import Compute, KernelName
from bntt.engine.graph.node import How
from bntt.engine.graph.recording import Measure, Seen, histogram
from bntt.engine.layer_spec import Affine, PoolSize, Reverse, SpikeGrad, neuron_steps
from bntt.engine.scan import pooled_shape, scan, scan_reverse, scan_sums
from bntt.engine.synapse import Spikes
from bntt.ops.folded import AnyNeuron


@dataclass(frozen=True)
class Firing:
    """The neurons of one node, while steps go through it: their membrane and the spikes that they give."""

    neuron: AnyNeuron
    """Of all steps of the run."""
    first: int
    """Which of these is the first that goes through."""
    window: PoolSize
    how: How
    membrane: Tensor
    """``[B, H, W, C]``; it moves on from chunk to chunk."""
    counts: Tensor
    """Takes the spikes of every window and step."""

    @staticmethod
    def begin(
        neuron: AnyNeuron, window: PoolSize, how: How, current: Tensor, start: Tensor | None, first: int
    ) -> Firing:
        """For a current of all steps, ``[S, B, H, W, C]``, from a membrane, which is left as it is; None is rest."""
        lease, device = how.lease, current.device
        membrane = lease.take(*current.shape[1:], device=device)
        membrane = membrane.zero_() if start is None else membrane.copy_(start)
        counts = lease.take(*pooled_shape(current, window), dtype=torch.uint8, device=device)
        return Firing(neuron, first, window, how, membrane, counts)

    def chunk(self, current: Tensor, affine: Affine, begin: int, measure: Measure) -> Seen:
        """The next steps, of which ``begin`` is the first, counted from the pass's first."""
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
        """What they give on, of which so many fired."""
        area = self.window[0] * self.window[1]
        return Spikes(self.counts, 1 / area, area, density(self.how.compute, fired, self.counts))


@dataclass(frozen=True)
class FiringReverse:
    """The way back through neurons, to their normalised current."""

    reverse: Reverse
    kernels: KernelName

    def sums(self, *, leak: bool) -> Tensor:
        """dL/dβ, dL/dγ and, if it is wanted, dL/dλ: see :func:`~bntt.engine.scan.scan_sums`."""
        return scan_sums(self.reverse, leak=leak, kernels=self.kernels)

    def into_current(self, offset: Tensor, slope: Tensor, out: Tensor) -> None:
        """dL/d(current) into ``out``: see :func:`~bntt.engine.scan.scan_reverse`."""
        scan_reverse(self.reverse, out, offset, slope, kernels=self.kernels)


def density(compute: Compute, fired: Tensor, counts: Tensor) -> float:
    """Events per place. A GPU is not asked: it would have to be waited for, and a graph cannot answer."""
    return float(fired.sum()) / max(1, counts.numel()) if compute.kernels == "cpu" else 1.0


def fired(seen: Sequence[Seen]) -> Tensor:
    """The spikes of consecutive parts by step and channel."""
    return torch.cat([part.spikes for part in seen if part.spikes is not None])


def drive(current: Tensor, affine: Affine, out: Tensor) -> None:
    """``z = scale (current - mean) + shift`` of some steps ``[S, B, H, W, C]`` into ``out``, float32.

    >>> one, z = torch.ones(1, 1), torch.empty(1, 1, 1, 1, 1)
    >>> drive(torch.full((1, 1, 1, 1, 1), 5.0), Affine(one, 2 * one, one), z)
    >>> z.item()
    9.0
    """
    for t, values in enumerate(current):
        torch.sub(values, affine.mean[t], out=out[t]).mul_(affine.scale[t]).add_(affine.shift[t])


@dataclass(frozen=True)
class DriveReverse:
    """The way back from a normalised current to the current."""

    current: Tensor
    affine: Affine
    inverse: Tensor
    """``1 / √(σ² + ε)``, ``[T, C]``."""
    grad: SpikeGrad
    """g = dL/dz."""

    def sums(self, *, leak: bool = False) -> Tensor:
        """dL/dβ and dL/dγ: sums over rows of g and of g x̂, ``[2, T, C]``, float64."""
        assert not leak  # nothing leaks
        sums = torch.empty(2, *self.inverse.shape, dtype=torch.float64, device=self.current.device)
        for t, values in enumerate(self.current):
            g = self._of_step(t)
            sums[0, t] = g.sum((0, 1, 2))
            sums[1, t] = (g * (values - self.affine.mean[t])).sum((0, 1, 2)) * self.inverse[t]
        return sums

    def into_current(self, offset: Tensor, slope: Tensor, out: Tensor) -> None:
        """dL/d(current) ``= scale g - offset - slope (current - mean)`` into ``out``, which may be the current."""
        for t, values in enumerate(self.current):
            taken = (values - self.affine.mean[t]).mul_(slope[t]).add_(offset[t])
            out[t] = torch.sub(self._of_step(t) * self.affine.scale[t], taken)

    def _of_step(self, t: int) -> Tensor:
        g = self.grad.values[t if len(self.grad.values) > 1 else 0].float()
        return g if self.grad.scale == 1 else g * self.grad.scale

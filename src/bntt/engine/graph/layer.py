"""One layer of a fused run: its parts, and what a pass over some of its steps finds, leaves and learns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph.node import Node, Size
from bntt.engine.graph.recording import moments_taken
from bntt.engine.layer_spec import Affine, PoolSize, learned_leak
from bntt.engine.scan import pooled_shape
from bntt.engine.synapse import Geometry, Spikes
from bntt.engine.workspace import Lease
from bntt.ops.folded import AnyNeuron
from bntt.ops.norm import Moments
from bntt.ops.pooling import Pooling, Window

CHUNK_BYTES = 16 << 20
"""Bytes of a layer's current in one chunk of time steps: the size of a processor's last-level cache."""


@dataclass(frozen=True)
class Layer(Node):
    """One layer of a run. ``gamma`` and ``beta`` are ``[T, C]``; the statistics are given, or None: the batch's."""

    geometry: Geometry
    flatten: bool
    """True if the input is flattened to ``C·H·W`` features first."""
    window: PoolSize
    neuron: AnyNeuron | None
    """Neuron of the run's steps; a folded one's gain and bias are ``gamma`` and ``beta``. None: no neuron; the layer
    outputs its normalised current."""
    weight: Tensor
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    eps: float
    pooling: Pooling = Window(0)
    """Rule that pools the batch's statistics of several steps into those of one."""
    sample_eps: float | None = None
    """ε of a normalisation of every sample and step over its channels and places, before the one by the tables above,
    which then only scales (layer normalisation); None: there is none."""

    @property
    def looks_ahead(self) -> bool:
        """True if a step's normalisation needs the currents of all steps."""
        return self.batch_statistics and self.pooling.looks_ahead

    @property
    def learned(self) -> tuple[Tensor | None, ...]:
        """Weight, bias, γ, β and leak; None where there is none."""
        return self.weight, self.bias, self.gamma, self.beta, self.learned_leak

    @property
    def learned_leak(self) -> Tensor | None:
        """λ, of the layer or of every channel, where it learns."""
        return None if self.neuron is None else learned_leak(self.neuron)

    @property
    def batch_statistics(self) -> bool:
        """True if mean and variance are the batch's, and not given."""
        return self.mean is None or self.var is None

    def enter(self, x: Spikes, lease: Lease | None = None) -> Spikes:
        """Return the layer's input in its own layout: itself, or moved, to a buffer of the lease if there is one."""
        steps, batch, height, width, channels = x.values.shape
        if not self.flatten or height * width == 1:
            return x
        values, features = x.values.permute(0, 1, 4, 2, 3), height * width * channels
        if lease is None:
            moved = values.flatten(2)
        else:
            moved = lease.take(steps, batch, features, dtype=values.dtype, device=values.device)
            moved.view(values.shape).copy_(values)
        return Spikes(moved[:, :, None, None, :], x.scale, x.largest, x.density)

    def leave(self, grad: Tensor, before: torch.Size) -> Tensor:
        """Return the gradient of :meth:`enter`, for an input that was ``before``."""
        if not self.flatten:
            return grad
        steps, batch, height, width, channels = before
        return grad.reshape(steps, batch, channels, height, width).permute(0, 1, 3, 4, 2).contiguous()

    def current_shape(self, x: Spikes) -> tuple[int, ...]:
        """Return the shape of the synaptic current for an input that was entered."""
        kernel = (1, 1) if self.weight.ndim == 2 else (self.weight.shape[2], self.weight.shape[3])
        size = self.geometry.out_size((x.values.shape[2], x.values.shape[3]), kernel)
        return (*x.values.shape[:2], *size, self.weight.shape[0])

    def size(self, inputs: Sequence[Spikes]) -> Size:
        """Return the memory that one step needs, see :class:`~bntt.engine.graph.node.Node`."""
        current = torch.empty(self.current_shape(self.enter(inputs[0])), dtype=torch.float32, device="meta")
        if self.neuron is None:
            return Size(Spikes(current), 2 * current.numel(), 0)
        counts = torch.empty(pooled_shape(current, self.window), dtype=torch.uint8, device="meta")
        return Size(Spikes(counts), current.numel(), counts.numel())


@dataclass(frozen=True)
class Resolved:
    """The findings of the first forward pass over some steps; a second pass reuses them."""

    affine: Affine
    inverse: Tensor
    """1/√(σ² + ε), ``[T, C]``."""
    moments: Moments | None
    """The batch moments that normalised these steps, if they were taken; over all processes."""
    by_events: tuple[bool, bool]
    """True where events were used: in the forward pass, in the weight gradient."""
    own: Moments | None = None
    """Moments of every single step, where several steps' were pooled."""
    past: Moments | None = None
    """Pooled moments of the steps before."""
    carried: Moments | None = None
    """Pooled moments kept for the steps that follow."""


def joined(parts: Sequence[Resolved]) -> Resolved:
    """Join the findings of consecutive steps into those of one run."""
    if len(parts) == 1:
        return parts[0]
    affine = Affine(*(torch.cat([getattr(p.affine, name) for p in parts]) for name in ("mean", "scale", "shift")))
    moments = moments_taken([part.moments for part in parts])
    inverse, own = torch.cat([part.inverse for part in parts]), moments_taken([part.own for part in parts])
    return Resolved(affine, inverse, moments, parts[0].by_events, own, parts[0].past, parts[-1].carried)


@dataclass
class Saved:
    """The state that one layer of one forward pass saves for the backward pass."""

    source: Spikes
    """The input, in the layer's layout."""
    moved: Tensor | None
    """The buffer that it was moved to; None: it was not."""
    before: torch.Size
    """The input's shape before the layer flattened it."""
    current: Tensor | None
    """The synaptic current; None: it is recomputed from the input."""
    found: Resolved
    start: Tensor | None
    """The membrane before the first of these steps, ``[B, H, W, C]``; None is rest."""
    spread: Tensor | None
    """1/σ of every sample and step, ``[T, B, 1, 1, 1]``, where the current was normalised by itself."""


def chunks(compute: Compute, *values: Tensor) -> Iterator[tuple[int, int]]:
    """Yield the first step and the one after the last of each chunk of values with equally many steps."""
    steps, size = values[0].shape[0], chunk_steps(compute, *values)
    return ((begin, min(steps, begin + size)) for begin in range(0, steps, size))


def chunk_steps(compute: Compute, *values: Tensor) -> int:
    """Return the number of steps of the largest value per chunk: all on a GPU."""
    if compute.kernels != "cpu":
        return values[0].shape[0]
    return max(1, CHUNK_BYTES // (4 * max(math.prod(one.shape[1:]) for one in values)))

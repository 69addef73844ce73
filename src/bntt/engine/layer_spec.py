"""Descriptions of a layer's neurons, normalisation and pooling for the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bntt.ops.folded import AnyNeuron, FoldedNeuron, Table
from bntt.ops.lif import Neuron
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

PoolSize = tuple[int, int]
"""Height and width of an average pooling window, its stride too; (1, 1) is no pooling."""


def pooled_shape(current: Tensor, window: PoolSize) -> tuple[int, ...]:
    """Return the shape of the counts that a scan over ``current`` outputs."""
    steps, batch, height, width, channels = current.shape
    return steps, batch, height // window[0], width // window[1], channels


def surrogate_constants(neuron: AnyNeuron) -> tuple[int, float, float]:
    """Return the kernels' number of a neuron's surrogate, and its two constants."""
    kind = neuron.surrogate
    if isinstance(kind, Triangle):
        return 0, kind.scale, 0.0
    if isinstance(kind, FastSigmoid):
        return 1, kind.scale, kind.slope
    assert isinstance(kind, ArcTan)
    return 2, kind.alpha / 2, torch.pi / 2 * kind.alpha


class NeuronTables(NamedTuple):
    """A neuron's constants as the kernels read them, each ``[T, C]``, or ``[1, C]`` if all steps share them."""

    leak: Tensor
    """λ."""
    sign: Tensor
    """-1 where the neuron is turned, else 1: it spikes where sign m > sign θ."""
    threshold: Tensor
    """sign θ."""
    amount: Tensor
    """Amount that a soft reset subtracts."""
    per_threshold: Tensor
    """1/θ."""
    surrogate_first: Tensor
    """The first of :func:`surrogate_constants`, with sign and slope."""

    @property
    def step(self) -> int:
        """Number of elements from one step's row to the next."""
        return 0 if self.leak.shape[0] == 1 else self.leak.shape[1]


def neuron_tables(neuron: AnyNeuron, channels: int, device: torch.device | None = None) -> NeuronTables:
    """Return the tables of a neuron, float32, detached."""
    device = device or torch.device("cpu")
    constant = type(neuron) is Neuron and type(neuron.leak) is type(neuron.threshold) is float
    if constant and device.type == "cpu":  # on a GPU a captured graph has tables of its own
        return _constant_tables(neuron, channels)
    return _tables(neuron, channels, device)


@lru_cache(64)  # the kernels only read them
def _constant_tables(neuron: AnyNeuron, channels: int) -> NeuronTables:
    with torch.inference_mode(False):
        return _tables(neuron, channels, torch.device("cpu"))


def _tables(neuron: AnyNeuron, channels: int, device: torch.device) -> NeuronTables:
    _, first, _ = surrogate_constants(neuron)
    values: Sequence[float | Tensor]
    if isinstance(neuron, Neuron):
        steps, theta = 1, neuron.threshold
        values = neuron.leak, 1.0, theta, theta, 1 / theta, first
    else:
        assert not isinstance(neuron.gain, Tensor)
        assert not isinstance(neuron.bias, Tensor)
        assert (neuron.gain, neuron.bias) == (1, 0)  # they are part of the affine map before it
        steps = neuron.num_steps or 1
        sign, wide, slope = (_wide(table) for table in (neuron.turned, neuron.threshold, neuron.slope))
        sign, amount = 1 - 2 * sign, wide if neuron.amount is None else neuron.amount
        values = neuron.leak, sign, sign * wide, amount, 1 / wide, first * sign * slope
    tables = torch.empty(6, steps, channels, dtype=torch.float32, device=device)
    for rows, value in zip(tables, values, strict=True):
        _ = rows.copy_(value.detach()) if isinstance(value, Tensor) else rows.fill_(value)
    return NeuronTables(*tables)


def _wide(table: Table) -> float | Tensor:
    return table.detach().double() if isinstance(table, Tensor) else float(table)


def neuron_steps(neuron: AnyNeuron, first: int, last: int) -> AnyNeuron:
    """Restrict a neuron to the steps from ``first`` until before ``last``."""
    return neuron.steps(first, last) if isinstance(neuron, FoldedNeuron) else neuron


def learned_leak(neuron: AnyNeuron) -> Tensor | None:
    """Return λ, of the layer or of every channel, if it learns."""
    return neuron.leak if isinstance(neuron.leak, Tensor) and neuron.leak.requires_grad else None


@dataclass(frozen=True)
class Affine:
    """A normalisation with known statistics: ``z = scale (current - mean) + shift``, each ``[T, C]``, float32."""

    mean: Tensor
    scale: Tensor
    shift: Tensor

    @staticmethod
    def identity(steps: int, channels: int, device: torch.device) -> Affine:
        """Return the map whose z is the current."""
        zeros = torch.zeros(steps, channels, dtype=torch.float32, device=device)
        return Affine(zeros, torch.ones_like(zeros), zeros)

    def before(self, neuron: AnyNeuron) -> Affine:
        """Return the map without the neuron's own gain and bias, which scale and shift include."""
        if isinstance(neuron, FoldedNeuron):
            return Affine(self.mean, torch.ones_like(self.scale), torch.zeros_like(self.shift))
        if not neuron.decay_input:
            return self
        return Affine(self.mean, self.scale / neuron.input_gain, self.shift / neuron.input_gain)

    def steps(self, first: int, last: int) -> Affine:
        return Affine(self.mean[first:last], self.scale[first:last], self.shift[first:last])


@dataclass(frozen=True)
class SpikeGrad:
    """dL/d(pooled spikes) of some steps: ``values`` times ``scale``."""

    values: Tensor
    """``[T, B, H', W', C]``, or ``[1, ...]`` where all steps share it."""
    scale: float = 1.0
    """Factor of the values, without the window's 1 / area."""
    held: Tensor | None = None
    """The buffer of the lease that they lie in; None: they do not belong to the pass, and must not be modified."""

    def at(self, t: int) -> Tensor:
        """Return one step's gradient."""
        g = self.values[t if len(self.values) > 1 else 0].float()
        return g if self.scale == 1 else g * self.scale

    def of_type(self, dtype: torch.dtype) -> SpikeGrad:
        """Return the same, contiguous and of a type."""
        return SpikeGrad(self.values.to(dtype).contiguous(), self.scale)


@dataclass(frozen=True)
class Reverse:
    """The inputs of the reverse scan."""

    current: Tensor
    affine: Affine
    inverse: Tensor
    """``1 / √(σ² + ε)``, ``[T, C]``."""
    neuron: AnyNeuron | None
    """Neuron of these steps; None where there is none."""
    window: PoolSize
    grad: SpikeGrad
    membrane: Tensor | None = None
    """Membrane the scan started from, ``[B, H, W, C]``; None is rest. It is not modified."""
    carry: Tensor | None = None
    """dL/d(membrane after the last step), ``[B, H, W, C]``; it becomes the one before the first step. None: no later
    step follows."""
    made: list[Any] = field(default_factory=list)
    """What a set of kernels made of these inputs for the first of both scans, for the second."""

    @property
    def grad_scale(self) -> float:
        """The gradient's factor for a single neuron's spike: with the window's 1 / area."""
        return self.grad.scale / (self.window[0] * self.window[1])

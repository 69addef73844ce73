"""What the kernels are told of a layer's surrogate gradient, its normalisation and its pooling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bntt.ops.lif import Neuron
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

PoolSize = tuple[int, int]
"""Height and width of an average pooling window, its stride too; (1, 1) is no pooling."""


def surrogate_constants(neuron: Neuron) -> tuple[int, float, float]:
    """The kernels' number of a neuron's surrogate, and its two constants.

    Raises:
        TypeError: if it is none that they know.

    >>> surrogate_constants(Neuron())
    (0, 0.3, 0.0)
    """
    kind = neuron.surrogate
    if isinstance(kind, Triangle):
        return 0, kind.scale, 0.0
    if isinstance(kind, FastSigmoid):
        return 1, kind.scale, kind.slope
    if isinstance(kind, ArcTan):
        return 2, kind.alpha / 2, torch.pi / 2 * kind.alpha
    raise TypeError(f"the kernels know no surrogate {kind!r}")


def leak_table(neuron: Neuron, channels: int) -> Tensor:
    """A neuron's leak in every channel, ``[C]``, float32, without its graph.

    >>> leak_table(Neuron(leak=0.5), 2)
    tensor([0.5000, 0.5000])
    """
    if not isinstance(neuron.leak, Tensor):
        return torch.full((channels,), neuron.leak)
    return neuron.leak.detach().float().expand(channels).contiguous()


def learned_leak(neuron: Neuron) -> Tensor | None:
    """λ, of the layer or of every channel, where it learns.

    >>> learned_leak(Neuron()) is None
    True
    """
    return neuron.leak if isinstance(neuron.leak, Tensor) and neuron.leak.requires_grad else None


def leak_gradient(neuron: Neuron, sums: Tensor, shape: torch.Size) -> Tensor:
    """dL/dλ of one leak or of every channel's.

    Args:
        sums: of every step and channel, of λ dL/dλ, ``[T, C]``.
    """
    return (sums.sum(0) / leak_table(neuron, sums.shape[1])).sum_to_size(shape)


@dataclass(frozen=True)
class Affine:
    """A normalisation with known statistics: ``z = scale (current - mean) + shift``, each ``[T, C]``, float32."""

    mean: Tensor
    scale: Tensor
    shift: Tensor

    @staticmethod
    def identity(steps: int, channels: int, device: torch.device) -> Affine:
        """z is the current."""
        zeros = torch.zeros(steps, channels, device=device)
        return Affine(zeros, torch.ones_like(zeros), zeros)

    def steps(self, first: int, last: int) -> Affine:
        return Affine(self.mean[first:last], self.scale[first:last], self.shift[first:last])


@dataclass(frozen=True)
class SpikeGrad:
    """dL/d(pooled spikes) of some steps: ``values`` times ``scale``."""

    values: Tensor
    """``[T, B, H', W', C]``, or ``[1, ...]`` where all steps share it."""
    scale: float = 1.0
    """Without the window's 1 / area."""

    def of_type(self, dtype: torch.dtype) -> SpikeGrad:
        """The same, contiguous and of a type."""
        return SpikeGrad(self.values.to(dtype).contiguous(), self.scale)


@dataclass(frozen=True)
class Reverse:
    """What the reverse scan reads."""

    current: Tensor
    affine: Affine
    inverse: Tensor
    """``1 / √(σ² + ε)``, ``[T, C]``."""
    neuron: Neuron
    window: PoolSize
    grad: SpikeGrad
    membrane: Tensor | None = None
    """What the scan started from, ``[B, H, W, C]``; None is rest. It is left as it is."""
    carry: Tensor | None = None
    """dL/d(membrane after the last step), ``[B, H, W, C]``; it becomes the one before the first step. None: no later
    step follows."""

    @property
    def grad_spikes(self) -> Tensor:
        """The gradient's values as the kernels read them."""
        return self.grad.values

    @property
    def grad_scale(self) -> float:
        """The gradient's factor for a single neuron's spike: with the window's 1 / area."""
        return self.grad.scale / (self.window[0] * self.window[1])

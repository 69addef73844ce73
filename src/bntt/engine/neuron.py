"""What the kernels know of a layer's neurons, their normalisation and their pooling: plain records."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

Window = tuple[int, int]
"""Height and width of an average pooling window, its stride too; (1, 1) is no pooling."""


@dataclass(frozen=True)
class Neuron:
    """What the kernels know of a LIF neuron (see :mod:`bntt.ops.lif`)."""

    leak: float = 0.95
    threshold: float = 1.0
    fire_before: bool = False
    hard_reset: bool = False
    surrogate: Triangle | FastSigmoid | ArcTan = Triangle()

    @property
    def surrogate_constants(self) -> tuple[int, float, float]:
        """The kernels' number of the surrogate, and its two constants."""
        kind = self.surrogate
        if isinstance(kind, Triangle):
            return 0, kind.scale, 0.0
        if isinstance(kind, FastSigmoid):
            return 1, kind.scale, kind.slope
        return 2, kind.alpha / 2, torch.pi / 2 * kind.alpha


@dataclass(frozen=True)
class Affine:
    """A normalisation with known statistics: ``z = scale (current - mean) + shift``, each ``[T, C]``, float32."""

    mean: Tensor
    scale: Tensor
    shift: Tensor

    def steps(self, first: int, last: int) -> Affine:
        return Affine(self.mean[first:last], self.scale[first:last], self.shift[first:last])


@dataclass(frozen=True)
class Reverse:
    """What the reverse scan reads; the fields are :func:`bntt.engine.scan.scan_reverse`'s arguments."""

    current: Tensor
    affine: Affine
    inverse: Tensor
    neuron: Neuron
    window: Window
    grad_spikes: Tensor
    grad_scale: float
    """With the window's 1 / area."""
    membrane: Tensor | None
    carry: Tensor | None

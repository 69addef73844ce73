"""What the kernels are told of a layer's surrogate gradient, its normalisation and its pooling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bntt.ops.lif import Neuron
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

Window = tuple[int, int]
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

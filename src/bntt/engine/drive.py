"""A normalised current that no neuron of its layer takes: what a residual sum adds up (Eq. 9, and 10 and 11 back).

Beside the weights of its layer it costs next to nothing, so it is plain PyTorch, one step after another.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bntt.engine.layer_spec import Affine, SpikeGrad


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

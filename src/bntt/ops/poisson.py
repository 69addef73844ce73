"""Poisson rate coding (paper Supplement B): a pixel fires at each step with a probability set by its value."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def signed_rate(x: Float[Tensor, "*shape"], uniform: Float[Tensor, "*T_shape"]) -> Float[Tensor, "*T_shape"]:
    """As released: ``s = sign(x) · [2r ≤ |x|]`` on normalised pixels, so spikes are -1, 0 or +1 and ``E[s] = x/2``.

    Beyond |x| = 2 the pixel fires at every step; at 0, the mean of the dataset, never.

    Args:
        x: normalised pixels ``[B, C, H, W]``, mean 0.
        uniform: r in [0, 1), ``[B, C, H, W]`` for one step or ``[T, B, C, H, W]`` for all.

    >>> import torch
    >>> signed_rate(torch.tensor([-2.0, 0.0, 0.5, 1.0]), torch.tensor([0.9, 0.0, 0.3, 0.5]))
    tensor([-1., 0., 0., 1.])
    """
    return (2 * uniform <= x.abs()) * x.sign()


def unsigned_rate(x: Float[Tensor, "*shape"], uniform: Float[Tensor, "*T_shape"]) -> Float[Tensor, "*T_shape"]:
    """Binary spikes ``s = [r < x]`` for x in [0, 1], so ``E[s] = x``: frequency proportional to intensity.

    >>> import torch
    >>> unsigned_rate(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.4, 0.999]))
    tensor([0., 1., 1.])
    """
    return (uniform < x).to(x.dtype)

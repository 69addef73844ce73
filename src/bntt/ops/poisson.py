"""Poisson rate coding (paper Supplement B): a pixel fires at each step with a probability set by its value."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor

from bntt.ops._cpu.library import run


def signed_rate(x: Float[Tensor, "*shape"], uniform: Float[Tensor, "*T_shape"]) -> Float[Tensor, "*T_shape"]:
    """As released: ``s = sign(x) · [2r ≤ |x|]`` on normalised pixels, so spikes are -1, 0 or +1 and ``E[s] = x/2``.

    Beyond |x| = 2 the pixel fires at every step; at 0, the mean of the dataset, never.

    Args:
        x: normalised pixels ``[B, C, H, W]``, mean 0.
        uniform: r in [0, 1), ``[B, C, H, W]`` for one step or ``[T, B, C, H, W]`` for all.

    >>> signed_rate(torch.tensor([-2.0, 0.0, 0.5, 1.0]), torch.tensor([0.9, 0.0, 0.3, 0.5]))
    tensor([-1., 0., 0., 1.])
    """
    return (2 * uniform <= x.abs()) * x.sign()


def unsigned_rate(x: Float[Tensor, "*shape"], uniform: Float[Tensor, "*T_shape"]) -> Float[Tensor, "*T_shape"]:
    """Binary spikes ``s = [r < x]`` for x in [0, 1], so ``E[s] = x``: frequency proportional to intensity.

    >>> unsigned_rate(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.4, 0.999]))
    tensor([0., 1., 1.])
    """
    return (uniform < x).to(x.dtype)


def poisson_bytes(x: Float[Tensor, "B C H W"], keys: Int[Tensor, "T B"], *, signed: bool) -> Int8[Tensor, "T B C H W"]:
    """The spikes of :func:`signed_rate` or :func:`unsigned_rate` for these step keys, drawn by the compiled kernels.

    The same spikes as ``rate(x, uniform(keys, C, H, W))``, one byte each, with the channels last in memory.

    >>> poisson_bytes(torch.full((1, 1, 2, 2), 3.0), torch.zeros(2, 1, dtype=torch.int64), signed=True).sum()
    tensor(8)
    """
    pixels, keys = x.contiguous(), keys.contiguous()
    batch, channels, height, width = x.shape
    spikes = torch.empty(len(keys), batch, height, width, channels, dtype=torch.int8)
    sizes = (len(keys), batch, channels, height * width)
    run("bntt_poisson", *(t.data_ptr() for t in (pixels, keys, spikes)), *sizes, signed, torch.get_num_threads())
    return spikes.permute(0, 1, 4, 2, 3)

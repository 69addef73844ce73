"""Rate coding (:mod:`bntt.ops.poisson`) by the compiled kernels: the same spikes, one byte each."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor

from bntt.engine.cpu.library import call


def poisson_bytes(x: Float[Tensor, "B C H W"], keys: Int[Tensor, "T B"], *, signed: bool) -> Int8[Tensor, "T B C H W"]:
    """The spikes of :mod:`bntt.ops.poisson` for these step keys, drawn by the compiled kernels.

    The same spikes as ``rate(x, uniform(keys, C, H, W))``, one byte each, with the channels last in memory.

    >>> poisson_bytes(torch.full((1, 1, 2, 2), 3.0), torch.zeros(2, 1, dtype=torch.int64), signed=True).sum()
    tensor(8)
    """
    pixels, keys = x.contiguous(), keys.contiguous()
    batch, channels, height, width = x.shape
    spikes = torch.empty(len(keys), batch, height, width, channels, dtype=torch.int8, device=torch.device("cpu"))
    buffers = (
        (pixels, torch.float32, batch * channels * height * width),
        (keys, torch.int64, len(keys) * batch),
        (spikes, torch.int8, len(keys) * batch * channels * height * width),
    )
    call("bntt_poisson", *buffers, len(keys), batch, channels, height * width, signed, torch.get_num_threads())
    return spikes.permute(0, 1, 4, 2, 3)

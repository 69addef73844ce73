"""Dropout of spikes, with one mask for all time steps."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bntt.nn.network.call import Call, Noise, check_call
from bntt.ops.dropout import dropout_mask


class SpikeDropout(nn.Module):
    """In training, each unit of a sample is silent with probability p at all steps, the others are worth 1/(1-p).

    The mask is a function of the call's seed, draw and sample, the layer and the unit (:mod:`bntt.ops.dropout`): a
    training loop passes ``draw=step``, or it meets the same masks in every step.

    Args:
        p: in [0, 1).

    Attributes:
        number: which dropout of the network it is; set by ``SpikingNetwork``.

    Raises:
        ValueError: on a p outside [0, 1), or a call whose samples have no noise.

    >>> import torch
    >>> from bntt.nn import Call, Noise
    >>> call = Call(noise=Noise(seed=0, draw=0, index=torch.arange(2)))
    >>> y, _ = SpikeDropout(0.5)(torch.ones(3, 2, 4), call)
    >>> bool((y[0] == y[2]).all()), y.unique()
    (True, tensor([0., 2.]))
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout leaves some units: p must be a number from 0 to below 1, got {p}")
        self.p, self.number = float(p), 0

    def forward(
        self, x: Float[Tensor, "S B *shape"], call: Call = Call(), state: None = None
    ) -> tuple[Float[Tensor, "S B *shape"], None]:
        check_call(call)
        if not self.training or self.p == 0:
            return x, None
        if call.noise is None:
            raise ValueError("dropout draws a mask for every sample: the call must name their noise, Call(noise=...)")
        return x * self.stays(call.noise, tuple(x.shape[2:]), x.device).to(x.dtype) / (1 - self.p), None

    def stays(self, noise: Noise, shape: tuple[int, ...], device: torch.device) -> Bool[Tensor, "B *shape"]:
        """Which units of each sample stay, drawn on a device; ``shape`` is that of one, channels first."""
        index = noise.index.to(device)
        return dropout_mask(self.p, shape, self.number, seed=noise.seed, draw=noise.draw, index=index)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"

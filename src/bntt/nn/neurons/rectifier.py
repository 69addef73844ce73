"""The neuron of an ANN: a network of one step whose neurons rectify is one."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.network.call import Call, check_call


class Rectifier(nn.Module):
    """``y = max(0, x)`` at every step by itself: no membrane, no spikes. It takes the place of neurons in a block.

    A block of rectifiers lists a layer in which nothing spikes, and runs in plain PyTorch.

    >>> import torch
    >>> Rectifier()(torch.tensor([[[-1.0, 2.0]]]))
    (tensor([[[0., 2.]]]), None)
    """

    def forward(
        self, current: Float[Tensor, "S B *shape"], call: Call = Call(), state: None = None
    ) -> tuple[Float[Tensor, "S B *shape"], None]:
        """``(y, None)``."""
        check_call(call)
        return current.relu(), None

"""The output layer (paper section 3.2): it accumulates voltage, does not leak, does not fire and is not normalised."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.call import Call, check_call
from bntt.nn.stage import fold_time


class Readout(nn.Module):
    """``u_L^t = u_L^{t-1} + W o^t``; the logits are ``u_L^t / t`` (the released code's division; Eq. 5 has u^T).

    Args:
        synapse: the last weight layer, ``[B, F]`` to ``[B, K]``; usually ``nn.Linear(F, K, bias=False)``.

    Its state is the accumulated voltage ``[B, K]``. A readout of yours is any stage that returns what the network says
    after each step, ``[S, B, K]``.

    >>> logits, voltage = Readout(nn.Linear(8, 3, bias=False))(torch.ones(5, 2, 8))
    >>> logits.shape, voltage.shape
    (torch.Size([5, 2, 3]), torch.Size([2, 3]))
    """

    def __init__(self, synapse: nn.Module) -> None:
        super().__init__()
        self.synapse = synapse

    def forward(
        self, spikes: Float[Tensor, "S B *features"], call: Call = Call(), voltage: Float[Tensor, "B K"] | None = None
    ) -> tuple[Float[Tensor, "S B K"], Float[Tensor, "B K"]]:
        """``(logits after each step, voltage after the last)``; a voltage of None is 0."""
        check_call(call)
        after: list[Tensor] = []
        for drive in fold_time(self.synapse, spikes):  # one after another: no scan of CUDA's is deterministic
            last = after[-1] if after else voltage
            after.append(drive if last is None else last + drive)
        taken = torch.arange(call.first + 1, call.first + 1 + len(after), dtype=after[0].dtype, device=spikes.device)
        return torch.stack(after) / taken[:, None, None], after[-1]

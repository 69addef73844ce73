"""The output layer (paper section 3.2): it accumulates voltage, does not leak, does not fire and is not normalised."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Readout(nn.Module):
    """``u_L^t = u_L^{t-1} + W o^t``; the logits are ``u_L^T / T`` (the released code's division; Eq. 5 has u^T).

    Args:
        synapse: the last weight layer, ``[B, F]`` to ``[B, K]``; usually ``nn.Linear(F, K, bias=False)``.

    >>> Readout(torch.nn.Linear(8, 3, bias=False))(torch.ones(5, 2, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(self, synapse: nn.Module) -> None:
        super().__init__()
        self.synapse = synapse

    def forward(self, spikes: Float[Tensor, "T B *features"]) -> Float[Tensor, "B K"]:
        """Logits after all steps: W is linear, so it is applied once, to the mean over time."""
        logits: Tensor = self.synapse(spikes.mean(0))
        return logits

    def step(
        self, spikes: Float[Tensor, "B *features"], voltage: Float[Tensor, "B K"] | None = None
    ) -> Float[Tensor, "B K"]:
        """The accumulated voltage after one more step; None is 0. Divide it by the steps taken for the logits."""
        drive: Tensor = self.synapse(spikes)
        return drive if voltage is None else voltage + drive


def accumulated(
    readout: Readout, spikes: Float[Tensor, "S B *features"], voltage: Float[Tensor, "B K"] | None, *, plain: bool
) -> Float[Tensor, "S B K"]:
    """The voltage after each of some steps, from that before them; None is 0.

    Args:
        plain: whether the readout is ours as it stands: then its weights meet all steps at once.

    >>> readout = Readout(torch.nn.Identity())
    >>> accumulated(readout, torch.ones(2, 1, 1), torch.ones(1, 1), plain=True).flatten()
    tensor([2., 3.])
    """
    after: list[Tensor] = []
    drives: Tensor = readout.synapse(spikes.flatten(0, 1)).unflatten(0, spikes.shape[:2]) if plain else spikes
    for drive in drives:  # one after another, as step() does: no scan of CUDA's is deterministic
        last = after[-1] if after else voltage
        if plain:
            after.append(drive if last is None else last + drive)
        else:
            after.append(readout.step(drive, last))
    return torch.stack(after)

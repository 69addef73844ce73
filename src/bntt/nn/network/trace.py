"""What a network did at every step, as it is measured; and what measuring needs: evaluation mode, a finite input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.engine.private import being_traced, is_mapped


@dataclass(frozen=True)
class Trace:
    """What a network did at every step, without its spike tensors.

    ``logits[t]`` is what the network says when it is stopped after step t: its voltage divided by t + 1.
    """

    logits: Float[Tensor, "T B K"]
    spikes: dict[str, Float[Tensor, "T C"]]
    """For each layer, spikes per step and channel, summed over batch and space (float64)."""
    neurons: dict[str, int]
    """For each layer, its number of neurons (C·H·W)."""

    @property
    def firing_rate(self) -> dict[str, Float[Tensor, " T"]]:
        """For each layer, spikes per neuron at every step, from 0 to 1."""
        batch = self.logits.shape[1]
        return {name: count.sum(1) / (batch * self.neurons[name]) for name, count in self.spikes.items()}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every submodule is in the mode that it was in.

    >>> layer = nn.Dropout()
    >>> with evaluating(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training


def check_finite_input(x: Tensor, first: int) -> None:
    """Refuse NaN and infinity in an input ``[T, B, ...]`` whose first step is ``first``, where it has values.

    >>> check_finite_input(torch.zeros(2, 1, 3), 0)
    """
    if not x.is_floating_point() or x.is_meta or torch.compiler.is_compiling() or being_traced() or is_mapped(x):
        return
    seen = x[:1] if x.stride(0) == 0 else x  # one image for all steps, as direct coding gives it
    if bool(torch.isfinite(seen).all()):
        return
    step, sample = (~torch.isfinite(seen)).flatten(2).any(2).nonzero()[0].tolist()
    raise ValueError(
        f"the network's input is not finite, first at step t={first + step} in sample {sample} of the batch: "
        f"a NaN membrane would never fire again, and nothing would show it"
    )

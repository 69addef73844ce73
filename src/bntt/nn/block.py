"""One hidden layer: synapse → norm → LIF → pool."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.lif import LIF
from bntt.nn.norm import Norm
from bntt.nn.state import BlockState


class SpikingBlock(nn.Module):
    """A hidden layer of a spiking network, in both spellings.

    Args:
        synapse: weights without memory, for one step's ``[B, ...]``: ``nn.Conv2d``, ``nn.Linear``.
        norm: from :mod:`bntt.nn.norm`, or a module of yours with ``forward`` and ``step``.
        lif: the neurons.
        pool: what follows the spikes, without memory: pooling, flattening. It does not re-spike.

    Attributes:
        name: what messages call the block; set by ``SpikingNetwork``.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> block = SpikingBlock(nn.Conv2d(1, 8, 3), BNTT(8, num_steps=4), LIF(), nn.AvgPool2d(2))
    >>> block(torch.ones(4, 2, 1, 8, 8)).shape
    torch.Size([4, 2, 8, 3, 3])
    """

    norm: Norm

    def __init__(self, synapse: nn.Module, norm: Norm, lif: LIF, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.synapse, self.norm, self.lif = synapse, norm, lif
        self.pool = nn.Identity() if pool is None else pool
        self.name = "this block"

    def forward(self, x: Float[Tensor, "T B *in_shape"]) -> Float[Tensor, "T B *out_shape"]:
        """All steps: time is folded into the batch where the layer has no memory."""
        self._check(x, "T, B")
        current = fold_time(self.synapse, x)
        return fold_time(self.pool, self.lif(self.norm(current)))

    def fire_step(
        self, x: Float[Tensor, "B *in_shape"], t: int, state: BlockState | None = None
    ) -> tuple[Float[Tensor, "B *shape"], BlockState]:
        """One step up to the spikes, before the pool."""
        self._check(x, "B")
        membrane, norm_state = (None, None) if state is None else state
        current, norm_state = self.norm.step(self.synapse(x), t, norm_state)
        spikes, membrane = self.lif.step(current, membrane)
        return spikes, BlockState(membrane, norm_state)

    def step(
        self, x: Float[Tensor, "B *in_shape"], t: int, state: BlockState | None = None
    ) -> tuple[Float[Tensor, "B *out_shape"], BlockState]:
        """One step: ``(pooled spikes, state)``."""
        spikes, state = self.fire_step(x, t, state)
        return self.pool(spikes), state

    def _check(self, x: Tensor, batch: str) -> None:
        """Compare an input with the first weights that it meets, if they are of a kind that says what it takes."""
        for layer in self.synapse.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                break
        else:
            return
        axes = batch.count(",") + 1
        if isinstance(layer, nn.Conv2d):
            fits, wanted = x.ndim == axes + 3 and x.shape[axes] == layer.in_channels, f"{layer.in_channels}, H, W"
        else:
            fits, wanted = x[(0,) * axes].numel() == layer.in_features, f"{layer.in_features}"
        dtype = layer.weight.dtype
        if dtype.itemsize < 4:
            raise TypeError(
                f"{self.name} has weights of {dtype}: statistics and membranes need float32 at least, so weights are "
                f"float32 or float64; for less use precision='bf16-grad' or 'bf16', or torch.autocast"
            )
        if not fits or x.dtype != dtype:
            reason = (
                "time comes first, and channels and image size are those that the network was built for"
                if not fits
                else f"convert the input, or the network with .to({x.dtype})"
            )
            raise ValueError(f"{self.name} takes {dtype} [{batch}, {wanted}], got {x.dtype} {list(x.shape)}: {reason}")


def fold_time(module: nn.Module, x: Float[Tensor, "T B *in_shape"]) -> Float[Tensor, "T B *out_shape"]:
    """Apply a module without memory to all steps at once: ``[T, B, ...]`` → ``[T·B, ...]`` → back.

    >>> import torch
    >>> fold_time(nn.AvgPool2d(2), torch.ones(4, 2, 1, 8, 8)).shape
    torch.Size([4, 2, 1, 4, 4])
    """
    y: Tensor = module(x.flatten(0, 1))
    return y.reshape(*x.shape[:2], *y.shape[1:])


def observed_step(
    name: str, block: SpikingBlock, x: Tensor, t: int, state: BlockState | None
) -> tuple[Tensor, Tensor, BlockState]:
    """One step of a block that is watched: its spikes, what leaves it, its state.

    Raises:
        TypeError: if its spikes cannot be seen, because it has a ``step`` of its own and a pool behind them.
    """
    ours = type(block).fire_step is SpikingBlock.fire_step and "fire_step" not in vars(block)
    if not ours or (type(block).step is SpikingBlock.step and "step" not in vars(block)):
        spikes, state = block.fire_step(x, t, state)
        return spikes, block.pool(spikes), state
    if type(block.pool) is not nn.Identity:
        raise TypeError(
            f"block {name!r} has a step() of its own, so its spikes before the pool cannot be counted: give "
            f"{type(block).__name__} a fire_step(x, t, state) that returns (spikes, state) and no step()"
        )
    spikes, state = block.step(x, t, state)
    return spikes, spikes, state


def advance_block(
    name: str, block: SpikingBlock, x: Float[Tensor, "S B *in_shape"], first: int, state: Any, *, count: bool
) -> tuple[Tensor, Any, tuple[Tensor, int] | None]:
    """Some steps of one block, one after another, as the modules that it is made of: what leaves it, its state and, if
    it is asked for, its spikes per step and channel and its number of neurons."""
    out, counts, neurons = [], [], 0
    for t, now in enumerate(x, start=first):
        if count:
            spikes, y, state = observed_step(name, block, now, t, state)
            counts.append(spikes.detach().sum((0, *range(2, spikes.ndim)), dtype=torch.float64))
            neurons = spikes[0].numel()
        else:
            y, state = block.step(now, t, state)
        out.append(y)
    return torch.stack(out), state, (torch.stack(counts), neurons) if count else None

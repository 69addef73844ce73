"""What a network tells its parts: where they are; and what it learns from them: how many steps there are."""

from __future__ import annotations

from torch import nn

from bntt.nn.blocks.block import CurrentBlock, NeuronBlock, SpikingBlock
from bntt.nn.blocks.dropout import SpikeDropout
from bntt.nn.blocks.residual import Residual
from bntt.nn.norms.temporal import TemporalNorm

BLOCKS = (SpikingBlock, CurrentBlock, NeuronBlock, Residual)


def settle(blocks: nn.ModuleDict) -> int | None:
    """Name blocks and norms by their place, for messages, number the dropouts, and agree on T.

    Returns:
        The number of time steps that parts of the blocks have; None if none has one.

    Raises:
        ValueError: if they differ in it.

    >>> from bntt.nn import BNTT, LIF
    >>> settle(nn.ModuleDict({"fc1": SpikingBlock(nn.Linear(6, 8), BNTT(8, num_steps=5), LIF())}))
    5
    """
    lengths, dropouts = {}, 0
    for name, module in blocks.named_modules():
        if isinstance(module, BLOCKS):
            module.name = f"block {name!r}"
        elif isinstance(module, TemporalNorm):
            module.path = name
        elif isinstance(module, SpikeDropout):
            module.number, dropouts = dropouts, dropouts + 1
        if (length := getattr(module, "num_steps", None)) is not None:
            lengths[name] = length
    if len(set(lengths.values())) > 1:
        raise ValueError(f"norms and folded neurons must have one number of time steps in a network, got {lengths}")
    return next(iter(lengths.values()), None)

"""One hidden layer, synapse → norm → LIF → pool; and its two halves, for residual networks."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.blocks.stage import SpikingLayer, check_stage, fold_time, passed
from bntt.nn.blocks.weights import check_input, weigh
from bntt.nn.kinds import neuron_facts
from bntt.nn.network.call import ALL_STEPS, Call, check_call


class BlockState(NamedTuple):
    """What a block carries from one call to the next."""

    membrane: Any
    """The neurons' state; of :class:`~bntt.nn.LIF` the membrane ``[B, ...]`` after the reset."""
    norm: Any
    """The norm's; None for most, :class:`~bntt.ops.norm.Moments` for TAB in training."""


class LayerBlock(nn.Module):
    """One layer: :class:`SpikingBlock`, or a half of it, :class:`CurrentBlock` or :class:`NeuronBlock`.

    Attributes:
        synapse, norm: weights and norm; None where neurons take whatever current comes.
        lif, pool, dropout: the neurons and what follows them; lif is None where a current leaves the block.
        path: where it is in its network, for messages; set by ``SpikingNetwork``.

    Raises:
        TypeError: if norm, neurons or dropout are no stage.
    """

    def __init__(
        self,
        synapse: nn.Module | None,
        norm: nn.Module | None,
        lif: nn.Module | None,
        pool: nn.Module | None = None,
        dropout: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for part, what, returns in ((norm, "norm", "y"), (lif, "lif", "spikes"), (dropout, "dropout", "y")):
            if part is not None:
                check_stage(part, f"a block's {what}", f"{returns} [S, B, ...]")
        self.synapse, self.norm, self.lif = synapse, norm, lif
        self.pool, self.dropout = nn.Identity() if pool is None and lif is not None else pool, dropout
        self.path = ""

    @property
    def name(self) -> str:
        """What messages call the block."""
        return f"block {self.path!r}" if self.path else "this block"

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """The one layer that it is; neurons that never fire are none of it."""
        spiking = self.lif if self.lif is not None and neuron_facts(self.lif).spikes else None
        return (SpikingLayer("", self.synapse, self.norm, spiking),)

    def forward(
        self, x: Float[Tensor, "S B *in_shape"], call: Call = ALL_STEPS, state: BlockState | None = None
    ) -> tuple[Float[Tensor, "S B *out_shape"], BlockState]:
        """``(pooled spikes, or a current, state)``: time is folded into the batch where the layer has no memory.

        Raises:
            ValueError: on an input that does not fit the weights.
        """
        check_call(call)
        membrane, norm_state = (None, None) if state is None else state
        if self.synapse is not None and self.norm is not None:
            check_input(self.name, self.synapse, x)
            current = weigh(self.name, self.synapse, x)
            x, norm_state = passed(f"the norm of {self.name}", self.norm, current, call, norm_state)
        if self.lif is not None and self.pool is not None:
            spikes, membrane = passed(f"the lif of {self.name}", self.lif, x, call, membrane)
            x = fold_time(self.pool, spikes)
        if self.dropout is not None:
            x, _ = passed(f"the dropout of {self.name}", self.dropout, x, call, None)
        return x, BlockState(membrane, norm_state)


class SpikingBlock(LayerBlock):
    """A hidden layer of a spiking network.

    Args:
        synapse: weights without memory, for one step's ``[B, ...]``: ``nn.Conv2d``, ``nn.Linear``.
        norm: from :mod:`bntt.nn.norms.methods`, or a stage of yours.
        lif: the neurons, ``LIF``, a ``Rectifier`` or a stage of yours.
        pool: what follows the spikes, without memory: pooling, flattening. It does not re-spike.
        dropout: what follows the pool, :class:`~bntt.nn.SpikeDropout` or a stage of yours without a state.

    >>> import torch
    >>> from bntt.nn import BNTT, LIF
    >>> block = SpikingBlock(nn.Conv2d(1, 8, 3), BNTT(8, num_steps=4), LIF(), nn.AvgPool2d(2))
    >>> spikes, state = block(torch.ones(4, 2, 1, 8, 8))
    >>> spikes.shape, state.membrane.shape
    (torch.Size([4, 2, 8, 3, 3]), torch.Size([2, 8, 6, 6]))
    """

    synapse: nn.Module
    norm: nn.Module
    lif: nn.Module
    pool: nn.Module

    def __init__(
        self,
        synapse: nn.Module,
        norm: nn.Module,
        lif: nn.Module,
        pool: nn.Module | None = None,
        dropout: nn.Module | None = None,
    ) -> None:
        super().__init__(synapse, norm, lif, pool, dropout)


class CurrentBlock(LayerBlock):
    """Weights and norm without neurons: a current that is added to another's, or that neurons of another block take.

    Args:
        synapse, norm: as :class:`SpikingBlock`'s.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> current, _ = CurrentBlock(nn.Conv2d(1, 8, 1), BNTT(8, num_steps=4))(torch.ones(4, 2, 1, 8, 8))
    >>> current.shape
    torch.Size([4, 2, 8, 8, 8])
    """

    synapse: nn.Module
    norm: nn.Module

    def __init__(self, synapse: nn.Module, norm: nn.Module) -> None:
        super().__init__(synapse, norm, None)


class NeuronBlock(LayerBlock):
    """Neurons without weights, driven by whatever current comes.

    Args:
        lif, pool, dropout: as :class:`SpikingBlock`'s.

    >>> import torch
    >>> from bntt.nn import LIF
    >>> spikes, _ = NeuronBlock(LIF(), nn.MaxPool2d(2))(2 * torch.ones(4, 2, 8, 8, 8))
    >>> spikes.shape
    torch.Size([4, 2, 8, 4, 4])
    """

    lif: nn.Module
    pool: nn.Module

    def __init__(self, lif: nn.Module, pool: nn.Module | None = None, dropout: nn.Module | None = None) -> None:
        super().__init__(None, None, lif, pool, dropout)

"""One hidden layer, synapse → norm → LIF → pool; and its two halves, for residual networks."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.blocks.stage import SpikingLayer, check_stage, fold_time, passed
from bntt.nn.blocks.weights import check_input, weigh
from bntt.nn.network.call import ALL_STEPS, Call, check_call
from bntt.nn.neurons.rectifier import Rectifier


class BlockState(NamedTuple):
    """What a block carries from one call to the next."""

    membrane: Any
    """The neurons' state; of :class:`~bntt.nn.LIF` the membrane ``[B, ...]`` after the reset."""
    norm: Any
    """The norm's; None for most, :class:`~bntt.ops.norm.Moments` for TAB in training."""


class SpikingBlock(nn.Module):
    """A hidden layer of a spiking network.

    Args:
        synapse: weights without memory, for one step's ``[B, ...]``: ``nn.Conv2d``, ``nn.Linear``.
        norm: from :mod:`bntt.nn.norms.methods`, or a stage of yours.
        lif: the neurons, ``LIF``, a ``Rectifier`` or a stage of yours.
        pool: what follows the spikes, without memory: pooling, flattening. It does not re-spike.
        dropout: what follows the pool, :class:`~bntt.nn.SpikeDropout` or a stage of yours without a state.

    Attributes:
        name: what messages call the block; set by ``SpikingNetwork``.

    Raises:
        TypeError: if norm, neurons or dropout are no stage.

    >>> import torch
    >>> from bntt.nn import BNTT, LIF
    >>> block = SpikingBlock(nn.Conv2d(1, 8, 3), BNTT(8, num_steps=4), LIF(), nn.AvgPool2d(2))
    >>> spikes, state = block(torch.ones(4, 2, 1, 8, 8))
    >>> spikes.shape, state.membrane.shape
    (torch.Size([4, 2, 8, 3, 3]), torch.Size([2, 8, 6, 6]))
    """

    def __init__(
        self,
        synapse: nn.Module,
        norm: nn.Module,
        lif: nn.Module,
        pool: nn.Module | None = None,
        dropout: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_stage(norm, "a block's norm", "y [S, B, ...]")
        check_stage(lif, "a block's lif", "spikes [S, B, ...]")
        self.synapse, self.norm, self.lif = synapse, norm, lif
        self.pool, self.dropout = _following(pool, dropout)
        self.name = "this block"

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """The one layer that it is."""
        return (SpikingLayer("", self.synapse, self.norm, _spiking(self.lif)),)

    def forward(
        self, x: Float[Tensor, "S B *in_shape"], call: Call = ALL_STEPS, state: BlockState | None = None
    ) -> tuple[Float[Tensor, "S B *out_shape"], BlockState]:
        """``(pooled spikes, state)``: time is folded into the batch where the layer has no memory.

        Raises:
            ValueError: on an input that does not fit the weights.
        """
        current, norm_state = _normalised(self, x, call, state)
        spikes, membrane = _fired(self, current, call, state)
        return spikes, BlockState(membrane, norm_state)


class CurrentBlock(nn.Module):
    """Weights and norm without neurons: a current that is added to another's, or that neurons of another block take.

    Args:
        synapse, norm: as :class:`SpikingBlock`'s.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> current, _ = CurrentBlock(nn.Conv2d(1, 8, 1), BNTT(8, num_steps=4))(torch.ones(4, 2, 1, 8, 8))
    >>> current.shape
    torch.Size([4, 2, 8, 8, 8])
    """

    def __init__(self, synapse: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        check_stage(norm, "a block's norm", "y [S, B, ...]")
        self.synapse, self.norm = synapse, norm
        self.name = "this block"

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """The one layer that it is, in which nothing spikes."""
        return (SpikingLayer("", self.synapse, self.norm, None),)

    def forward(
        self, x: Float[Tensor, "S B *in_shape"], call: Call = ALL_STEPS, state: BlockState | None = None
    ) -> tuple[Float[Tensor, "S B *out_shape"], BlockState]:
        """``(current, state)``.

        Raises:
            ValueError: on an input that does not fit the weights.
        """
        current, norm_state = _normalised(self, x, call, state)
        return current, BlockState(None, norm_state)


class NeuronBlock(nn.Module):
    """Neurons without weights, driven by whatever current comes.

    Args:
        lif, pool, dropout: as :class:`SpikingBlock`'s.

    >>> import torch
    >>> from bntt.nn import LIF
    >>> spikes, _ = NeuronBlock(LIF(), nn.MaxPool2d(2))(2 * torch.ones(4, 2, 8, 8, 8))
    >>> spikes.shape
    torch.Size([4, 2, 8, 4, 4])
    """

    def __init__(self, lif: nn.Module, pool: nn.Module | None = None, dropout: nn.Module | None = None) -> None:
        super().__init__()
        check_stage(lif, "a block's lif", "spikes [S, B, ...]")
        self.lif = lif
        self.pool, self.dropout = _following(pool, dropout)
        self.name = "this block"

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """The neurons."""
        return (SpikingLayer("", None, None, _spiking(self.lif)),)

    def forward(
        self, x: Float[Tensor, "S B *shape"], call: Call = ALL_STEPS, state: BlockState | None = None
    ) -> tuple[Float[Tensor, "S B *out_shape"], BlockState]:
        """``(pooled spikes, state)``."""
        spikes, membrane = _fired(self, x, call, state)
        return spikes, BlockState(membrane, None)


def _spiking(lif: nn.Module) -> nn.Module | None:
    """The neurons, unless they are those of an ANN."""
    return None if isinstance(lif, Rectifier) else lif


def _following(pool: nn.Module | None, dropout: nn.Module | None) -> tuple[nn.Module, nn.Module | None]:
    if dropout is not None:
        check_stage(dropout, "a block's dropout", "y [S, B, ...]")
    return nn.Identity() if pool is None else pool, dropout


def _normalised(
    block: SpikingBlock | CurrentBlock, x: Tensor, call: Call, state: BlockState | None
) -> tuple[Tensor, Any]:
    """The normalised current of an input, and the norm's state."""
    check_call(call)
    check_input(block.name, block.synapse, x)
    current = weigh(block.name, block.synapse, x)
    return passed(f"the norm of {block.name}", block.norm, current, call, None if state is None else state.norm)


def _fired(
    block: SpikingBlock | NeuronBlock, current: Tensor, call: Call, state: BlockState | None
) -> tuple[Tensor, Any]:
    """The spikes that leave a block, pooled and some of them dropped, and its neurons' state."""
    check_call(call)
    membrane = None if state is None else state.membrane
    spikes, membrane = passed(f"the lif of {block.name}", block.lif, current, call, membrane)
    pooled = fold_time(block.pool, spikes)
    if block.dropout is not None:
        pooled, _ = passed(f"the dropout of {block.name}", block.dropout, pooled, call, None)
    return pooled, membrane

"""One hidden layer, synapse → norm → LIF → pool → dropout; and its two halves, for residual networks."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bntt.engine.private import register_tree
from bntt.nn.blocks.stage import SpikingLayer, check_input, check_stage, passed, weigh
from bntt.nn.kinds import BlockFacts, neuron_facts
from bntt.nn.network.call import ALL_STEPS, Call, Noise, check_call
from bntt.ops.dropout import dropout_mask


class SpikeDropout(nn.Module):
    """Silence each unit of a sample with probability p at all steps, in training; scale the others by 1/(1-p).

    The mask is a function of the call's seed, draw and sample, the layer and the unit (:mod:`bntt.ops.dropout`): pass
    ``draw=update`` in a training loop, or every update has the same masks.

    Args:
        p: in [0, 1).

    Raises:
        ValueError: on a p outside [0, 1), or a call whose samples have no noise.

    >>> import torch
    >>> from bntt.nn import Call, Noise
    >>> call = Call(noise=Noise(seed=0, draw=0, index=torch.arange(2)))
    >>> y, _ = SpikeDropout(0.5)(torch.ones(3, 2, 4), call)
    >>> bool((y[0] == y[2]).all()), y.unique()
    (True, tensor([0., 2.]))
    """

    settles = "number"

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout leaves some units: p must be a number from 0 to below 1, got {p}")
        self.p, self.number = float(p), 0

    def forward(
        self, x: Float[Tensor, "S B *shape"], call: Call = Call(), state: None = None
    ) -> tuple[Float[Tensor, "S B *shape"], None]:
        """Return ``(y, None)``, y of x's shape."""
        check_call(call)
        if not self.training or self.p == 0:
            return x, None
        if call.noise is None:
            raise ValueError("dropout draws a mask for every sample: the call must name their noise, Call(noise=...)")
        return x * self.stays(call.noise, tuple(x.shape[2:]), x.device).to(x.dtype) / (1 - self.p), None

    def stays(self, noise: Noise, shape: tuple[int, ...], device: torch.device) -> Bool[Tensor, "B *shape"]:
        """Return the mask of kept units on a device; ``shape`` is that of one sample, channels first."""
        index = noise.index.to(device)
        return dropout_mask(self.p, shape, self.number, seed=noise.seed, draw=noise.draw, index=index)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class BlockState(NamedTuple):
    """State that a block carries from one call to the next.

    >>> BlockState(membrane=None, norm=None).membrane is None
    True
    """

    membrane: Any
    """The neurons' state; of :class:`~bntt.nn.LIF` the membrane ``[B, ...]`` after the reset."""
    norm: Any
    """The norm's state; None for most, :class:`~bntt.ops.norm.Moments` for TAB in training."""


register_tree(BlockState, BlockState._fields, lambda state: (), BlockState)


class LayerBlock(nn.Module):
    """One layer: :class:`SpikingBlock`, or a half of it, :class:`CurrentBlock` or :class:`NeuronBlock`.

    Args:
        synapse: weights without memory, for one step's ``[B, ...]``: ``nn.Conv2d``, ``nn.Linear``; None if the neurons
            take the incoming current as it is.
        norm: from :mod:`bntt.nn.norms.methods`, or your own stage; None without weights.
        lif: the neurons, ``LIF``, a ``Rectifier`` or your own stage; None if the block returns a current.
        pool: a module after the spikes, without memory: pooling, flattening. It does not re-spike.
        dropout: a module after the pool, :class:`~bntt.nn.SpikeDropout` or your own stage without a state.

    Raises:
        TypeError: if norm, neurons or dropout are not stages, or weights come without a norm.

    >>> from bntt.nn import LIF
    >>> y, state = LayerBlock(None, None, LIF())(torch.ones(5, 2, 3))
    >>> y.shape
    torch.Size([5, 2, 3])
    """

    facts, settles = BlockFacts("layer"), "path"

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
        if (synapse is None) != (norm is None):
            raise TypeError("a block has weights and a norm, or neither: bntt.nn.NoNorm() leaves a current as it is")
        self.synapse, self.norm, self.lif = synapse, norm, lif
        self.pool, self.dropout = nn.Identity() if pool is None and lif is not None else pool, dropout
        self.path = ""

    @property
    def name(self) -> str:
        """Name of the block in messages."""
        return f"block {self.path!r}" if self.path else "this block"

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """Its single layer; neurons that never fire are not part of it."""
        spiking = self.lif if self.lif is not None and neuron_facts(self.lif).spikes else None
        return (SpikingLayer("", self.synapse, self.norm, spiking),)

    def forward(
        self, x: Float[Tensor, "S B *in_shape"], call: Call = ALL_STEPS, state: BlockState | None = None
    ) -> tuple[Float[Tensor, "S B *out_shape"], BlockState]:
        """Return ``(pooled spikes or a current, state)``; layers without memory run with time folded into the batch."""
        check_call(call)
        membrane, norm_state = (None, None) if state is None else state
        if self.synapse is not None:
            check_input(self.name, self.synapse, x)
            x = weigh(self.name, self.synapse, x)
        if self.norm is not None:
            x, norm_state = passed(f"the norm of {self.name}", self.norm, x, call, norm_state)
        if self.lif is not None:
            x, membrane = passed(f"the lif of {self.name}", self.lif, x, call, membrane)
        if self.pool is not None:
            x = weigh(self.name, self.pool, x)
        if self.dropout is not None:
            x, _ = passed(f"the dropout of {self.name}", self.dropout, x, call, None)
        return x, BlockState(membrane, norm_state)


class SpikingBlock(LayerBlock):
    """A hidden layer, ``[S, B, ...]`` to ``[S, B, ...]``: weights, norm, neurons, pool and dropout, in this order.

    A call returns ``(spikes, state)``, the state a :class:`~bntt.nn.BlockState`. Without a ``Call``, x has all T steps.

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
    """Weights and norm without neurons: the current is added to another one, or drives the neurons of another block.

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
    """Neurons without weights, driven by any incoming current.

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


UNITS = (SpikingBlock, CurrentBlock, NeuronBlock)
"""The library's blocks of one layer; each has a :class:`BlockState`."""

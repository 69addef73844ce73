"""A block read as nodes of a fused run, or why it is none.

A block is fused when every part of it is exactly what the kernels know. Anything of yours (a subclass, a hook, another
dtype) and anything wrong (a shape that does not fit) runs as the module that it is, on real floats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bntt.engine.compute import Compute
from bntt.engine.door import is_plain
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import Node, Start
from bntt.engine.graph.weightless import Fire, Mask, MaxPool, Sum
from bntt.engine.private import parts_of
from bntt.nn.blocks.block import BlockState, CurrentBlock, NeuronBlock, SpikingBlock
from bntt.nn.blocks.dropout import SpikeDropout
from bntt.nn.blocks.residual import Residual
from bntt.nn.fusion.supported import (
    Layout,
    Pooled,
    drive_of,
    geometry_of,
    normalisation_of,
    pool_of,
    synapse_of,
    why_not_neuron,
    why_not_norm,
    why_not_values,
)
from bntt.nn.fusion.untouched import remember, why_touched
from bntt.nn.network.call import Call
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms.methods import NoNorm
from bntt.nn.norms.temporal import TemporalNorm
from bntt.ops.folded import AnyNeuron, FoldedNeuron
from bntt.ops.norm import Moments

UNITS = (SpikingBlock, CurrentBlock, NeuronBlock)
"""Blocks of one layer; each has a :class:`~bntt.nn.BlockState`."""
remember(*UNITS, Residual, SpikeDropout, LIF, FoldedLIF)


class FusedNode(NamedTuple):
    """A node, and which part of its block it is."""

    node: Node
    unit: int | None = None
    """Which of the block's states it starts from; None: it carries nothing."""
    layer: str | None = None
    """The block's layer that it is measured as."""
    norm: nn.Module | None = None
    """Whose running statistics take the batch in."""
    memory: tuple[int, int, int] = (1, 1, 1)
    """Height, width and channels of its neurons, in the order of memory."""
    flat: bool = False
    """Whether its module's membrane is ``[B, C]``, not ``[B, C, H, W]``."""

    @property
    def neurons(self) -> int:
        fires = isinstance(self.node, Fire) or (isinstance(self.node, Layer) and self.node.neuron is not None)
        return self.memory[0] * self.memory[1] * self.memory[2] if fires else 0

    def enter(self, state: BlockState | None, batch: int, first: int) -> Start:
        """A module's state before step ``first`` as the kernels take it.

        Raises:
            ValueError: if its membrane belongs to other neurons or another batch, or its norm needs steps that it does
                not have.
        """
        membrane, past = (None, None) if state is None else state
        if isinstance(self.norm, TemporalNorm):
            self.norm.check_past(first, past)
        if membrane is not None:
            height, width, channels = self.memory
            wanted = (batch, channels) if self.flat else (batch, channels, height, width)
            if membrane.shape != wanted or membrane.dtype != torch.float32:
                raise ValueError(
                    f"the membrane is {membrane.dtype} {list(membrane.shape)} and a step's current torch.float32 "
                    f"{list(wanted)}: begin every batch with state=None"
                )
            membrane = (membrane[:, None, None, :] if self.flat else membrane.permute(0, 2, 3, 1)).contiguous()
        return Start(membrane, past if isinstance(past, Moments) else None)

    def leave(self, end: Start, state: BlockState | None) -> BlockState:
        """And back, without a copy; ``state`` is the one that it came from."""
        membrane = end.membrane
        if membrane is not None:
            membrane = membrane[:, 0, 0] if self.flat else membrane.permute(0, 3, 1, 2)
        return BlockState(membrane, end.past if end.past is not None or state is None else state.norm)


class FusedBlock(NamedTuple):
    """A block as the kernels see it."""

    nodes: tuple[FusedNode, ...]
    out: Layout
    several: bool
    """Whether its state is a tuple of those of its parts."""

    def enter(self, state: Any, batch: int, first: int) -> list[Start]:
        """What every node starts from; ``state`` is the block's."""
        return [
            Start() if one.unit is None else one.enter(self._of_unit(state, one.unit), batch, first)
            for one in self.nodes
        ]

    def leave(self, ends: Iterable[Start], state: Any) -> Any:
        """The block's state after the last step; ``state`` is the one before the first."""
        units = [
            one.leave(end, self._of_unit(state, one.unit))
            for one, end in zip(self.nodes, ends, strict=True)
            if one.unit is not None
        ]
        return tuple(units) if self.several else units[0]

    def _of_unit(self, state: Any, unit: int) -> BlockState | None:
        found: BlockState | None = state[unit] if self.several and state is not None else state
        return found


@dataclass(frozen=True)
class Site:
    """Where blocks are to be fused."""

    call: Call
    steps: range
    """Which of the network's the input has."""
    batch: int
    compute: Compute
    device: torch.device


def fuse(block: nn.Module, site: Site, layout: Layout) -> FusedBlock | str:
    """The block as nodes for inputs of a layout, or why it is none."""
    if type(block) not in (*UNITS, Residual):
        return f"it is {type(block).__name__}, which the kernels do not know"
    for name, module, tensors in parts_of(block):
        if reason := why_touched(module):
            return f"{name or 'it'} {reason}"
        for tensor in tensors:
            wanted = torch.bool if isinstance(module, FoldedLIF) and tensor is module.turned else torch.float32
            if not is_plain(tensor):
                return f"{name or 'it'} has a {type(tensor).__name__}, which is no plain tensor"
            if tensor.dtype != wanted or tensor.device != site.device:
                return f"{name or 'it'} has {tensor.dtype} on {tensor.device}"
    making, entered = _Making(site), _Place(0, layout)
    found = making.residual(block, entered) if type(block) is Residual else making.unit(block, entered, "")
    return found if isinstance(found, str) else FusedBlock(tuple(making.nodes), found.layout, type(block) is Residual)


class _Place(NamedTuple):
    """A value on its way through a block."""

    value: int
    """0 is the block's input, k what its k-th node gives."""
    layout: Layout


class _Firing(NamedTuple):
    """Neurons of a block, and what follows them."""

    neuron: AnyNeuron
    gain: Tensor | None
    """Of what drives them, ``[steps, C]``: of folded neurons, and of those that decay their input; None: 1."""
    bias: Tensor | None
    """As well; None: 0."""
    pooled: Pooled
    dropout: SpikeDropout | None


@dataclass
class _Making:
    """The nodes of a block, one after another."""

    site: Site
    nodes: list[FusedNode] = field(default_factory=list)
    units: int = 0

    def add(self, fused: FusedNode, *reads: _Place, layout: Layout) -> _Place:
        """One more node, that reads these values."""
        back = tuple(place.value - len(self.nodes) - 1 for place in reads)
        node: Any = fused.node
        self.nodes.append(fused._replace(node=replace(node, reads=back)))
        return _Place(len(self.nodes), layout)

    def residual(self, block: Residual, entered: _Place) -> _Place | str:
        """Body, shortcut, their sum and what comes after."""
        ends = []
        for parts in (block.body, block.shortcut):
            at = entered
            for name, part in parts.items():
                found = self.unit(part, at, name)
                if isinstance(found, str):
                    return f"its {name!r}: {found}"
                at = found
            ends.append(at)
        body, beside = ends
        if body.layout != beside.layout:
            return block.differs(body.layout.shape, beside.layout.shape)
        total = self.add(FusedNode(Sum(())), body, beside, layout=body.layout)
        if block.after is None:
            return total
        found = self.unit(block.after, total, "after")
        return f"its 'after': {found}" if isinstance(found, str) else found

    def unit(self, block: nn.Module, at: _Place, name: str) -> _Place | str:
        """A block of one layer."""
        if type(block) not in UNITS:
            return f"it is {type(block).__name__}, which the kernels do not know"
        unit, self.units = self.units, self.units + 1
        if isinstance(block, NeuronBlock):
            return self._neurons(block, at, unit, name)
        return self._layer(block, at, unit, name)  # type: ignore[arg-type]

    def _layer(self, block: SpikingBlock | CurrentBlock, at: _Place, unit: int, name: str) -> _Place | str:
        synapse = synapse_of(block.synapse, at.layout)
        if isinstance(synapse, str):
            return synapse
        weights, flatten, (height, width, channels) = synapse
        flat, site = isinstance(weights, nn.Linear), self.site
        firing = self._firing(block, (channels, height, width), flat) if isinstance(block, SpikingBlock) else None
        if isinstance(firing, str):
            return firing
        single = site.compute.reduce is None and site.batch * height * width == 1
        if reason := why_not_norm(block.norm, site.steps, channels, whole=bool(site.call.whole), single=single):
            return reason
        folded = firing is not None and isinstance(firing.neuron, FoldedNeuron)
        if folded and type(block.norm) is not NoNorm:
            return f"its norm is {type(block.norm).__name__}, and the kernels know folded neurons without one alone"
        window, neuron = ((1, 1), None) if firing is None else (firing.pooled.average, firing.neuron)
        tables = normalisation_of(block.norm, site.steps, channels, site.device)
        if firing is not None and firing.gain is not None:  # a part of γ and β; without a norm they are 1 and 0
            beta = firing.bias if tables["beta"] is None else tables["beta"] * firing.gain
            tables |= {"gamma": tables["gamma"] * firing.gain, "beta": beta}
        given = {name: tables[name] for name in ("gamma", "beta", "mean", "var")}
        if reason := why_not_values({"weight": weights.weight, "bias": weights.bias, **given}, site.device):
            return reason
        layer = Layer(geometry_of(weights), flatten, window, neuron, weights.weight, weights.bias, **tables)
        fused = FusedNode(layer, unit, name, block.norm, (height, width, channels), flat)
        shape = (channels,) if flat else (channels, height, width)
        now = self.add(fused, at, layout=Layout(shape, (height, width, channels)))
        return now if firing is None else self._followed(firing, now)

    def _neurons(self, block: NeuronBlock, at: _Place, unit: int, name: str) -> _Place | str:
        height, width, channels = at.layout.memory
        flat = len(at.layout.shape) == 1
        if flat and height * width > 1:
            return "its input is a flattened image"
        firing = self._firing(block, (channels, height, width), flat)
        if isinstance(firing, str):
            return firing
        node = Fire(firing.neuron, firing.pooled.average, firing.gain, firing.bias)
        fused = FusedNode(node, unit, name, None, at.layout.memory, flat)
        return self._followed(firing, self.add(fused, at, layout=at.layout))

    def _firing(self, block: SpikingBlock | NeuronBlock, image: tuple[int, int, int], flat: bool) -> _Firing | str:
        """Known neurons and what follows them, or why they are not known."""
        lif, dropout = block.lif, block.dropout
        if not (type(lif) is LIF or type(lif) is FoldedLIF):
            return f"its lif is {type(lif).__name__}, which the kernels do not know"
        if dropout is not None and type(dropout) is not SpikeDropout:
            return f"its dropout is {type(dropout).__name__}, which the kernels do not know"
        neuron, steps = lif.neuron, self.site.steps
        if reason := why_not_neuron(neuron, steps, image[0], self.site.compute.kernels):
            return reason
        pooled = pool_of(block.pool, image, flat)
        return (
            pooled
            if isinstance(pooled, str)
            else _Firing(*drive_of(neuron, steps, image[0], self.site.device), pooled, dropout)
        )

    def _followed(self, firing: _Firing, at: _Place) -> _Place:
        """What comes after the neurons."""
        pooled, dropout, noise = firing.pooled, firing.dropout, self.site.call.noise
        if pooled.largest != (1, 1):
            at = self.add(FusedNode(MaxPool(pooled.largest)), at, layout=pooled.out)
        at = at._replace(layout=pooled.out)
        if dropout is None or not dropout.training or dropout.p == 0:
            return at
        height, width, channels = pooled.out.memory

        @cache
        def draw() -> Tensor:
            assert noise is not None  # a network always names it
            stays: Tensor = dropout.stays(noise, (channels, height, width), self.site.device)
            return stays.permute(0, 2, 3, 1).to(torch.uint8).contiguous()

        return self.add(FusedNode(Mask(draw, dropout.p)), at, layout=pooled.out)

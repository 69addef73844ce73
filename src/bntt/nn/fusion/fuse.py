"""Blocks as nodes of a fused run, or the reason why one cannot be fused.

A block is fused if every part of it is exactly one that the kernels support. A block with anything custom (a subclass,
a hook, another dtype) or anything wrong (a shape that does not fit) runs as a plain module, on floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bntt.engine.compute import Compute
from bntt.engine.door import is_plain
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.rectified import RectifiedLayer, Rectify, why_not_rectified
from bntt.engine.graph.weightless import Fire, Mask, MaxPool, Sum
from bntt.engine.private import parts_of
from bntt.nn.blocks.block import UNITS, LayerBlock, SpikeDropout
from bntt.nn.blocks.residual import Residual
from bntt.nn.fusion.fused_block import FusedBlock, FusedNode
from bntt.nn.fusion.supported import (
    Layout,
    NotKnown,
    Pooled,
    drive_of,
    geometry_of,
    known,
    normalisation_of,
    pool_of,
    refuse,
    synapse_of,
    why_not_neuron,
    why_not_norm,
    why_not_values,
    why_not_window,
)
from bntt.nn.fusion.untouched import remember, why_touched
from bntt.nn.network.call import Call
from bntt.nn.neurons import LIF, FoldedLIF, Rectifier
from bntt.nn.norms.methods import NoNorm
from bntt.nn.norms.temporal import TemporalNorm
from bntt.ops.folded import AnyNeuron, FoldedNeuron

remember(*UNITS, Residual, SpikeDropout, LIF, FoldedLIF, Rectifier)
MOST_PLACES = (1 << 31) - 1
"""Most places of all samples in one step: the kernels number them in 32 bits."""


@dataclass(frozen=True)
class Site:
    """Conditions under which blocks are to be fused."""

    call: Call
    steps: range
    """The network's steps that the input covers."""
    batch: int
    compute: Compute
    device: torch.device


def fuse(block: nn.Module, site: Site, layout: Layout) -> FusedBlock | str:
    """Return the block as nodes for inputs of a layout, or why it cannot be fused."""
    if type(block) not in (*UNITS, Residual):
        return f"it is {type(block).__name__}, which the kernels do not support"
    for name, module, tensors in parts_of(block):
        if reason := why_touched(module):
            return f"{name or 'it'} {reason}"
        for tensor in tensors:
            wanted = torch.bool if isinstance(module, FoldedLIF) and tensor is module.turned else torch.float32
            if not is_plain(tensor):
                return f"{name or 'it'} has a {type(tensor).__name__}, which is not a plain tensor"
            if tensor.dtype != wanted or tensor.device != site.device:
                return f"{name or 'it'} has {tensor.dtype} on {tensor.device}"
    making, entered = _Making(site), _Place(0, layout)
    try:
        left = making.residual(block, entered) if isinstance(block, Residual) else making.unit(block, entered, "")
    except NotKnown as reason:
        return str(reason)
    found = FusedBlock(tuple(making.nodes), left.layout, type(block) is Residual)
    if not found.rectifies:
        return found
    if any(getattr(part, "eps", None) == 0 for part in block.modules()):
        return "its norm's eps is 0, which tells the kernels of an ANN that there is no norm"
    alone = bool(site.call.whole) and len(site.steps) == 1
    return why_not_rectified([one.node for one in found.nodes], site.compute, alone=alone) or found


class _Place(NamedTuple):
    """A value on its way through a block."""

    value: int
    """0 is the block's input, k the output of its k-th node."""
    layout: Layout


class _Firing(NamedTuple):
    """Neurons of a block, and what follows them."""

    neuron: AnyNeuron | None
    """None: they rectify."""
    gain: Tensor | None
    """Gain on their input, ``[steps, C]``, for folded neurons and neurons that decay their input; None: 1."""
    bias: Tensor | None
    """Bias on their input, likewise; None: 0."""
    pooled: Pooled
    dropout: SpikeDropout | None


@dataclass
class _Making:
    """Builder of the nodes of a block, one after another."""

    site: Site
    nodes: list[FusedNode] = field(default_factory=list)
    units: int = 0

    def add(self, fused: FusedNode, *reads: _Place, layout: Layout) -> _Place:
        """Append a node that reads these values."""
        back = tuple(place.value - len(self.nodes) - 1 for place in reads)
        node: Any = fused.node
        self.nodes.append(fused if back == node.reads else fused._replace(node=replace(node, reads=back)))
        return _Place(len(self.nodes), layout)

    def residual(self, block: Residual, entered: _Place) -> _Place:
        """Append body, shortcut, their sum and the block after it."""
        body, beside = (self._chain(dict(parts.items()), entered) for parts in (block.body, block.shortcut))
        if body.layout != beside.layout:
            raise NotKnown(block.differs(body.layout.shape, beside.layout.shape))
        total = self.add(FusedNode(Sum(())), body, beside, layout=body.layout)
        return total if block.after is None else self._chain({"after": block.after}, total)

    def _chain(self, parts: Mapping[str, nn.Module], at: _Place) -> _Place:
        """Append blocks of one layer, one after another."""
        for name, part in parts.items():
            try:
                at = self.unit(part, at, name)
            except NotKnown as reason:
                raise NotKnown(f"its {name!r}: {reason}") from None
        return at

    def unit(self, block: nn.Module, at: _Place, name: str) -> _Place:
        """Append a block of one layer."""
        if type(block) not in UNITS or not isinstance(block, LayerBlock):
            raise NotKnown(f"it is {type(block).__name__}, which the kernels do not support")
        unit, self.units = self.units, self.units + 1
        if (block.synapse is None) != (block.norm is None):
            raise NotKnown("it has weights without a norm, or a norm without weights")
        if block.lif is None and (block.pool is not None or block.dropout is not None):
            raise NotKnown("it has a pool or dropout, but no neurons before it")
        firing: _Firing | None
        norm = block.norm if isinstance(block.norm, TemporalNorm) else None
        if block.synapse is None:
            if len(at.layout.shape) not in (1, 3):
                raise NotKnown(f"its input is [S, B, {', '.join(map(str, at.layout.shape))}], not images or features")
            (height, width, channels), flat = at.layout.memory, len(at.layout.shape) == 1
            if flat and height * width > 1:
                raise NotKnown("its input is a flattened image")
            firing = fires = self._firing(block, (channels, height, width), flat)
            neuron, window = fires.neuron, fires.pooled.average
            node: Any = Rectify(window) if neuron is None else Fire(neuron, window, fires.gain, fires.bias)
        else:
            weights, flatten, (height, width, channels) = known(synapse_of(block.synapse, at.layout))
            flat = isinstance(weights, nn.Linear)
            firing = None if block.lif is None else self._firing(block, (channels, height, width), flat)
            node = self._layer(block, weights, flatten, (height, width, channels), firing)
        if (places := self.site.batch * height * width) > MOST_PLACES:
            raise NotKnown(f"its neurons have {places} places in a step, more than {MOST_PLACES}")
        shape = (channels,) if flat else (channels, height, width)
        fused = FusedNode(node, unit, name, norm, (height, width, channels), flat)
        now = self.add(fused, at, layout=Layout(shape, (height, width, channels)))
        return now if firing is None else self._followed(firing, now)

    def _layer(
        self,
        block: LayerBlock,
        weights: nn.Conv2d | nn.Linear,
        flatten: bool,
        size: tuple[int, int, int],
        firing: _Firing | None,
    ) -> Layer:
        """Return weights, norm and, if they fire, neurons; ``size`` is that of the current, channels last."""
        assert block.norm is not None  # weights have one
        site, (height, width, channels) = self.site, size
        single = site.compute.reduce is None and site.batch * height * width == 1
        refuse(why_not_norm(block.norm, site.steps, channels, whole=bool(site.call.whole), single=single))
        if firing is not None and isinstance(firing.neuron, FoldedNeuron) and type(block.norm) is not NoNorm:
            kind = type(block.norm).__name__
            raise NotKnown(f"its norm is {kind}, and the kernels support folded neurons only without a norm")
        window, neuron = ((1, 1), None) if firing is None else (firing.pooled.average, firing.neuron)
        tables = normalisation_of(block.norm, site.steps, channels, site.device)
        if firing is not None and firing.gain is not None:  # a part of γ and β; without a norm they are 1 and 0
            beta = firing.bias if tables["beta"] is None else tables["beta"] * firing.gain
            tables |= {"gamma": tables["gamma"] * firing.gain, "beta": beta}
        given = {name: tables[name] for name in ("gamma", "beta", "mean", "var")}
        refuse(why_not_values({"weight": weights.weight, "bias": weights.bias, **given}, site.device))
        of_kind = Layer if firing is None or neuron is not None else RectifiedLayer
        return of_kind(geometry_of(weights), flatten, window, neuron, weights.weight, weights.bias, **tables)

    def _firing(self, block: LayerBlock, image: tuple[int, int, int], flat: bool) -> _Firing:
        """Return known neurons and the modules after them."""
        lif, dropout, pool = block.lif, block.dropout, block.pool
        if dropout is not None and type(dropout) is not SpikeDropout:
            raise NotKnown(f"its dropout is {type(dropout).__name__}, which the kernels do not support")
        if not (type(lif) is LIF or type(lif) is FoldedLIF or type(lif) is Rectifier) or pool is None:
            raise NotKnown(f"its neurons are {type(lif).__name__}, which the kernels do not support")
        if isinstance(lif, Rectifier):
            return _Firing(None, None, None, known(pool_of(pool, image, flat)), dropout)
        neuron, site = lif.neuron, self.site
        refuse(why_not_neuron(neuron, site.steps, image[0], site.compute.kernels))
        pooled = known(pool_of(pool, image, flat))
        refuse(why_not_window(pooled))
        return _Firing(*drive_of(neuron, site.steps, image[0], site.device), pooled, dropout)

    def _followed(self, firing: _Firing, at: _Place) -> _Place:
        """Append the pooling and dropout after the neurons."""
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

"""Blocks as nodes of a run, with the modules that the nodes stand for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import Node, Start
from bntt.engine.graph.rectified import RectifiedLayer, Rectify
from bntt.engine.graph.weightless import Fire
from bntt.nn.blocks.block import BlockState
from bntt.nn.fusion.supported import Layout
from bntt.nn.norms.temporal import TemporalNorm
from bntt.ops.norm import Moments


class FusedNode(NamedTuple):
    """A node and the part of its block that it stands for."""

    node: Node
    unit: int | None = None
    """Index of the block's state that it starts from; None: it has no state."""
    layer: str | None = None
    """Name of the block's layer under which it is measured."""
    norm: TemporalNorm | None = None
    """The norm whose running statistics the batch updates."""
    memory: tuple[int, int, int] = (1, 1, 1)
    """Height, width and channels of its neurons, in the order of memory."""
    flat: bool = False
    """True if its module's membrane is ``[B, C]``, not ``[B, C, H, W]``."""

    @property
    def neurons(self) -> int:
        fires = isinstance(self.node, Fire) or (isinstance(self.node, Layer) and self.node.neuron is not None)
        return self.memory[0] * self.memory[1] * self.memory[2] if fires else 0

    def enter(self, state: BlockState | None, batch: int, first: int) -> Start:
        """Return a module's state before step ``first`` as the kernels take it."""
        membrane, past = (None, None) if state is None else state
        if self.norm is not None:
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
        """Return the kernels' state in the module's form, without a copy; ``state`` is the one that it started from."""
        membrane = end.membrane
        if membrane is not None:
            membrane = membrane[:, 0, 0] if self.flat else membrane.permute(0, 3, 1, 2)
        return BlockState(membrane, end.past if end.past is not None or state is None else state.norm)


class FusedBlock(NamedTuple):
    """A block as the kernels see it."""

    nodes: tuple[FusedNode, ...]
    out: Layout
    several: bool
    """True if its state is a tuple of its parts' states."""

    @property
    def rectifies(self) -> bool:
        """True if its neurons are those of an ANN."""
        return any(isinstance(one.node, RectifiedLayer | Rectify) for one in self.nodes)

    def enter(self, state: Any, batch: int, first: int) -> list[Start]:
        """Return the initial state of every node; ``state`` is the block's."""
        return [
            Start() if one.unit is None else one.enter(self._of_unit(state, one.unit), batch, first)
            for one in self.nodes
        ]

    def leave(self, ends: Iterable[Start], state: Any) -> Any:
        """Return the block's state after the last step; ``state`` is the one before the first."""
        units = [
            one.leave(end, self._of_unit(state, one.unit))
            for one, end in zip(self.nodes, ends, strict=True)
            if one.unit is not None
        ]
        return tuple(units) if self.several else units[0]

    def _of_unit(self, state: Any, unit: int) -> BlockState | None:
        found: BlockState | None = state[unit] if self.several and state is not None else state
        return found

"""Residual addition, in all the forms that spiking networks use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.blocks.stage import SpikingLayer, check_layers, check_stage, passed
from bntt.nn.kinds import BlockFacts
from bntt.nn.network.call import ALL_STEPS, Call, check_call


class Residual(nn.Module):
    """``y = after(body(x) + shortcut(x))``.

    - spikes + spikes (SEW-ResNet with ADD, Fang et al. 2021): a body of :class:`~bntt.nn.SpikingBlock`;
    - current + current (MS-ResNet, Hu et al. 2021): a body of :class:`~bntt.nn.NeuronBlock` and
      :class:`~bntt.nn.CurrentBlock` in turn;
    - spikes or a current + current before the neurons (ResNet-19 of Zheng et al. 2021): a body whose last block is a
      ``CurrentBlock``, and a ``NeuronBlock`` after.

    Args:
        body: blocks by name, in order.
        shortcut: blocks by name; none is the input itself. Where the shape changes, a block of the body's last kind.
        after: a block that takes the sum.

    Raises:
        TypeError: if a part is not a block.
        ValueError: if there is no body; and in a call, if the terms of the sum differ in shape.

    >>> import torch
    >>> from bntt.nn import BNTT, LIF, CurrentBlock, NeuronBlock
    >>> body = {"conv": CurrentBlock(nn.Conv2d(8, 8, 3, padding=1), BNTT(8, num_steps=4))}
    >>> block = Residual(body, after=NeuronBlock(LIF()))
    >>> [layer.name for layer in block.layers], block(torch.ones(4, 2, 8, 5, 5))[0].shape
    (['conv', 'after'], torch.Size([4, 2, 8, 5, 5]))
    """

    facts, settles = BlockFacts("sum"), "path"

    def __init__(
        self,
        body: Mapping[str, nn.Module],
        shortcut: Mapping[str, nn.Module] | None = None,
        after: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not body:
            raise ValueError("a residual block has a body of one block or more")
        self.body, self.shortcut, self.after = nn.ModuleDict(body), nn.ModuleDict(shortcut or {}), after
        self.path = ""
        for name, part in self.parts():
            check_stage(part, f"part {name!r} of a residual block", "y [S, B, ...]")
            check_layers(part, f"part {name!r} of a residual block")

    @property
    def name(self) -> str:
        """Name of the block in messages."""
        return f"block {self.path!r}" if self.path else "this block"

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield its blocks by name: those of the body, of the shortcut, and the one after."""
        yield from self.body.items()
        yield from self.shortcut.items()
        if self.after is not None:
            yield "after", self.after

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """The layers of its parts, prefixed with the parts' names."""
        parts: Iterator[tuple[str, Any]] = self.parts()
        return tuple(layer.under(name) for name, part in parts for layer in part.layers)

    def forward(
        self, x: Float[Tensor, "S B *in_shape"], call: Call = ALL_STEPS, state: Sequence[Any] | None = None
    ) -> tuple[Float[Tensor, "S B *out_shape"], tuple[Any, ...]]:
        """Return ``(y, the states of its parts)``."""
        check_call(call)
        before, states = iter(state or [None] * len(list(self.parts()))), []

        def through(parts: Mapping[str, Any], y: Tensor) -> Tensor:
            for name, part in parts.items():
                y, after = passed(f"part {name!r} of {self.name}", part, y, call, next(before))
                states.append(after)
            return y

        y, beside = through(dict(self.body.items()), x), through(dict(self.shortcut.items()), x)
        if y.shape != beside.shape:
            raise ValueError(self.differs(list(y.shape[2:]), list(beside.shape[2:])))
        y = y + beside
        return through({"after": self.after}, y) if self.after is not None else y, tuple(states)

    def differs(self, body: Sequence[int], shortcut: Sequence[int]) -> str:
        """Return the message for a body and a shortcut of different shapes."""
        beside = f"its shortcut's {list(self.shortcut)[-1]!r}" if self.shortcut else "its input, having no shortcut,"
        return (
            f"{self.name} adds up what its body's {list(self.body)[-1]!r} gives, {list(body)}, and what {beside} "
            f"gives, {list(shortcut)}: they must have the same shape"
        )

"""A random input: kinds of values, and ways in which they may lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tests.fuzz.dice import Dice

KINDS = {
    "real": lambda dice, shape: dice.normal(*shape),
    "signed": lambda dice, shape: (dice.rand(*shape) * 3 - 1.5).round(),
    "spikes": lambda dice, shape: (dice.rand(*shape) < 0.4).float(),
    "int8": lambda dice, shape: (dice.rand(*shape) < dice.pick((0.1, 0.3, 0.6))).to(torch.int8),
    "int8 signed": lambda dice, shape: (dice.rand(*shape) * 3 - 1.5).round().to(torch.int8),
    "int8 counts": lambda dice, shape: (dice.rand(*shape) * 3.4).floor().to(torch.int8) * (dice.rand(*shape) < 0.4),
}


@dataclass(frozen=True)
class Input:
    """Values, and how a pass sees them."""

    kind: str
    layout: str
    values: Tensor
    steps: int
    wants_grad: bool

    def make(self, *, double: bool) -> tuple[Tensor, Tensor]:
        """A fresh leaf, and what a network is given of it, ``[T, B, ...]``."""
        leaf = self.values.clone()
        if double and leaf.is_floating_point():
            leaf = leaf.double()
        leaf.requires_grad_(self.wants_grad)
        if self.layout == "expanded":
            return leaf, leaf.expand(self.steps, *leaf.shape)
        if self.layout == "strided":
            return leaf, leaf[..., ::2]
        return leaf, leaf.movedim(-1, 2) if self.layout == "channels last" else leaf

    def __str__(self) -> str:
        return f"{self.kind}, {self.layout} {list(self.values.shape)}{', with gradient' if self.wants_grad else ''}"


def draw_input(dice: Dice, steps: int, batch: int, place: tuple[int, ...]) -> Input:
    """For a network that takes ``[steps, batch, *place]``; seldom one that no network takes."""
    if dice.chance(0.01):
        steps += dice.pick((-1, 1))
    if dice.chance(0.01):
        place = (place[0] + 1, *place[1:])
    kind = dice.pick(list(KINDS))
    layout = dice.pick(("plain", "strided", "expanded", "channels last"), (6, 1, 1.5, 1.5))
    shape: tuple[int, ...] = (steps, batch, *place)
    if layout == "expanded":
        shape = shape[1:]
    elif layout == "strided":
        shape = (*shape[:-1], 2 * shape[-1])
    elif layout == "channels last":
        shape = (steps, batch, *place[1:], place[0])
    values = KINDS[kind](dice, shape)
    return Input(kind, layout, values, steps, values.is_floating_point() and dice.chance(0.3))

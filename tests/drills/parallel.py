"""Two layers side by side whose spikes are averaged, and a network of them: a block of one's own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bntt.models.spiking import linear, maker
from bntt.nn import Call, SpikingLayer, SpikingNetwork


class Parallel(nn.Module):
    """``y = (left(x) + right(x)) / 2``."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        return tuple(layer.under(name) for name in ("left", "right") for layer in getattr(self, name).layers)

    def forward(self, x: Tensor, call: Call = Call(), state: Any = None) -> tuple[Tensor, Any]:
        before = state or (None, None)
        (left, after_left), (right, after_right) = self.left(x, call, before[0]), self.right(x, call, before[1])
        return (left + right) / 2, (after_left, after_right)


def parallel_mlp(
    *,
    in_features: int,
    num_classes: int = 10,
    num_steps: int = 4,
    leak: float = 0.95,
    norm: str = "bntt",
    width: float = 1.0,
    **options: Any,
) -> SpikingNetwork:
    """Two layers of 32 neurons side by side, then one of 16."""
    make, wide, narrow = maker(num_steps, leak, norm, **options), max(1, round(32 * width)), max(1, round(16 * width))
    sides = [make.spiking(nn.Sequential(nn.Flatten(), linear(in_features, wide)), wide) for _ in range(2)]
    blocks = {"both": Parallel(*sides), "fc2": make.spiking(linear(wide, narrow), narrow)}
    return make.network(blocks, linear(narrow, num_classes))

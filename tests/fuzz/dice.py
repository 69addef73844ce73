"""All that is random in a case, from its number alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


class Dice:
    """Draws of one part of one case: what another part draws changes none of them, and no default of PyTorch's does.

    >>> Dice(3, "network").integer(1, 6) == Dice(3, "network").integer(1, 6)
    True
    """

    def __init__(self, case: int, part: str) -> None:
        self._random = random.Random(f"{case} {part}")
        self._generator = torch.Generator("cpu").manual_seed(self._random.getrandbits(62))

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self._random.randint(low, high)

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def pick(self, values: Sequence[Value], weights: Sequence[float] | None = None) -> Value:
        return self._random.choices(values, weights)[0]

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float32, device="cpu")

    def rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, dtype=torch.float32, device="cpu")

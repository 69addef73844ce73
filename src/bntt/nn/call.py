"""What a stage is told of a call: which steps of the network's time it takes, and whose noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Whose random numbers the samples draw: a function of these and of the step, see :mod:`bntt.ops.random`."""

    seed: int
    draw: int
    index: Int[Tensor, " B"]
    """Each sample's place in its dataset."""


@dataclass(frozen=True)
class Call:
    """What a stage is told of a call; by default that it takes all steps there are, from rest.

    >>> Call(first=3).steps(torch.zeros(2, 1, 4))
    slice(3, 5, None)
    """

    first: int = 0
    """The first step of the input, 0-based."""
    whole: bool = True
    """Whether the input has all steps that there will be, from the first on."""
    noise: Noise | None = None
    """Of the samples, where the caller named it."""
    reduce: Callable[[Tensor], Tensor] | None = None
    """Adds a float64 tensor up over the processes that share a batch; None: there is one."""

    def steps(self, x: Tensor) -> slice:
        """The steps that an input ``[S, ...]`` has."""
        return slice(self.first, self.first + len(x))

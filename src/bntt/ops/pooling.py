"""Pooling rules, as data: how batch statistics of several steps are averaged into those that normalise one step.

A pooling is a row-stochastic matrix over time: the identity is BNTT, one row of 1/T is tdBN and TEBN, the lower
triangle is TAB. If no row looks ahead, it can also be extended step by step, from moments kept of earlier steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.ops.norm import Moments, joined_moments, pool_moments


@runtime_checkable
class Pooling(Protocol):
    """Pool the statistics of a norm over time; any value with these three members is a pooling.

    >>> isinstance(Window(0), Pooling)
    True
    """

    @property
    def looks_ahead(self) -> bool:
        """True if a step's statistics need later steps: then a norm trains on all steps in one call only."""
        ...

    def weights(self, num_steps: int) -> Float[Tensor, "rows T"]:
        """Return the matrix for ``num_steps`` steps: row t weights the steps in step t's statistics.

        A single row serves all steps.
        """
        ...

    def extend(self, past: Moments | None, own: Moments) -> tuple[Moments, Moments | None]:
        """Return the pooled moments of the next steps, and the moments to keep for later steps.

        Args:
            past: the moments kept from earlier steps; None: there are none, or none are needed.
            own: every next step's own moments.
        """
        ...


@dataclass(frozen=True)
class Window:
    """Statistics over a step and those right before it, all values weighted equally.

    ``Window(0)`` is every step's own (BNTT), ``Window(None)`` all steps so far (TAB).

    >>> Window(1).weights(3)
    tensor([[1.0000, 0.0000, 0.0000],
            [0.5000, 0.5000, 0.0000],
            [0.0000, 0.5000, 0.5000]], dtype=torch.float64)
    """

    back: int | None
    """Number of steps before it; None: all."""

    def __post_init__(self) -> None:
        if self.back is not None and (self.back != int(self.back) or self.back < 0):
            raise ValueError(f"a window reaches back by a whole number of steps, or None for all, got {self.back}")

    @property
    def looks_ahead(self) -> bool:
        """False: a window ends at its own step."""
        return False

    def weights(self, num_steps: int) -> Float[Tensor, "T T"]:
        """Return ``[T, T]``: row t weights step t and up to ``back`` steps before it equally."""
        held = self._held(num_steps, 0)
        return held / held.sum(1, keepdim=True)

    def extend(self, past: Moments | None, own: Moments) -> tuple[Moments, Moments | None]:
        """Pool the moments of the next steps, see :meth:`Pooling.extend`."""
        if self.back == 0:
            return own, None
        before = 0 if past is None else len(past.count)
        every = own if past is None else joined_moments([past, own])
        values = self._held(len(own.count), before) * torch.tensor(every.count, dtype=torch.float64, device="cpu")
        pooled = pool_moments(every, values / values.sum(1, keepdim=True))
        kept = pooled if self.back is None else every
        rows = slice(-(self.back or 1), None)
        return pooled, Moments(kept.mean[rows], kept.var[rows], kept.count[rows])

    def _held(self, steps: int, before: int) -> Float[Tensor, "S rows"]:
        """Mark the rows, ``before`` earlier ones and then these steps' own, that make up each step's statistics."""
        held = torch.ones(steps, before + steps, dtype=torch.float64, device="cpu").tril(before)
        return held if self.back is None else held.triu(before - self.back)


@dataclass(frozen=True)
class AllSteps:
    """Statistics over all steps of a call, the same for each: tdBN, TEBN and pooled BN.

    >>> AllSteps().weights(2)
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """

    @property
    def looks_ahead(self) -> bool:
        """True: every step's statistics need all steps."""
        return True

    def weights(self, num_steps: int) -> Float[Tensor, "1 T"]:
        """Return ``[1, T]``: one row, 1/T for every step."""
        return torch.full((1, num_steps), 1 / num_steps, dtype=torch.float64, device="cpu")

    def extend(self, past: Moments | None, own: Moments) -> tuple[Moments, Moments | None]:
        """Pool the moments of all steps of a call; nothing is kept for later ones."""
        return pool_moments(own, self.weights(len(own.count))), None

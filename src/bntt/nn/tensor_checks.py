"""Checks of tensor arguments: a clear message instead of an AttributeError further down."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class NonFiniteError(ArithmeticError):
    """Raised on a NaN or an infinity: training stops before the update, an evaluation before it counts answers."""


def first_non_finite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """Return the name of the first tensor that holds a NaN or an infinity, or None."""
    return next((name for name, value in named if not torch.isfinite(value).all()), None)


def check_tensor(given: object, who: str, what: str) -> None:
    """Refuse anything that is not a tensor."""
    if not isinstance(given, Tensor):
        raise TypeError(f"{who} takes {what} as a torch.Tensor, got {type(given).__name__}")


def check_steps(x: Tensor, who: str) -> None:
    """Refuse a sequence ``[S, ...]`` without steps."""
    if x.ndim and x.shape[0] == 0:
        raise ValueError(f"{who} needs at least one time step, got a sequence of 0")

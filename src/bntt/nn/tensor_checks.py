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


def time_first(x: Tensor, num_steps: int | None) -> str:
    """Return the way out for an input whose second axis has as many entries as there are steps, or ""."""
    return "; the second axis looks like time: x.transpose(0, 1)" if x.ndim > 1 and x.shape[1] == num_steps else ""


def check_steps(x: Tensor, who: str) -> None:
    """Refuse a sequence ``[S, ...]`` without steps."""
    if x.ndim and x.shape[0] == 0:
        raise ValueError(f"{who} needs at least one time step, got a sequence of 0")

"""Checks of tensor arguments: a clear message instead of an AttributeError further down."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

ARRAY = "torch.from_numpy(...) converts an array"
VALUES = "torch.as_tensor(...) converts such values"
PAIR = "norms and neurons return (y, state): pass y on, or join both in a SpikingBlock"


class NonFiniteError(ArithmeticError):
    """Raised on a NaN or an infinity: training stops before the update, an evaluation before it counts answers."""


def first_non_finite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """Return the name of the first tensor that holds a NaN or an infinity, or None."""
    return next((name for name, value in named if not torch.isfinite(value).all()), None)


def check_tensor(given: object, who: str, what: str) -> None:
    """Refuse anything that is not a tensor."""
    if isinstance(given, Tensor):
        return
    way = ARRAY if isinstance(given, np.ndarray) else VALUES if isinstance(given, list | tuple | int | float) else ""
    way = PAIR if isinstance(given, tuple) and any(isinstance(one, Tensor) for one in given) else way
    raise TypeError(f"{who} takes {what} as a torch.Tensor, got {type(given).__name__}{': ' * bool(way)}{way}")


def check_steps(x: Tensor, who: str) -> None:
    """Refuse a sequence ``[S, ...]`` without steps."""
    if x.ndim and x.shape[0] == 0:
        raise ValueError(f"{who} needs at least one time step, got a sequence of 0")

"""Backward passes that are differentiated once, and say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from bntt.ops.spike import Underived


def differentiable_once(backward: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Decorate a backward pass whose results have no derivative: asking for one raises.

    The pass gets ``(ctx, saved tensors, *gradients)`` and runs without gradients. PyTorch's ``once_differentiable``
    silently gives a constant to ``torch.autograd.grad`` and Hessians.
    """

    @wraps(backward)
    def run(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        saved = ctx.saved_tensors  # once: checkpointing unpacks them no second time
        with torch.no_grad():
            found = backward(ctx, saved, *grads)
        of = [one for one in (*saved, *grads) if isinstance(one, Tensor) and one.requires_grad]
        return tuple(_marked(one, of) if isinstance(one, Tensor) else one for one in found)

    return run


def _marked(value: Tensor, of: Sequence[Tensor]) -> Tensor:
    for one in of if torch.is_grad_enabled() else ():
        value = Underived.apply(value, one)  # type: ignore[no-untyped-call]
    return value

"""Firing and its surrogate gradients (paper: threshold rule below Eq. 4, and Eq. 8).

A surrogate is a value: a frozen dataclass that maps the normalised distance ``v = u/θ - 1`` to ``do/du``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Surrogate = Callable[[Tensor], Tensor]
"""``v = u/θ - 1`` → ``do/du``, element by element, both of the membrane's shape."""


@dataclass(frozen=True)
class Triangle:
    """Use Eq. 8: ``do/du = α max(0, 1 - |v|)`` with ``v = u/θ - 1`` and α = 0.3; no further 1/θ.

    >>> Triangle()(torch.tensor([-1.0, 0.0, 0.5, 2.0]))
    tensor([0.0000, 0.3000, 0.1500, 0.0000])
    """

    scale: float = 0.3
    """α: height of the peak, at the threshold."""

    def __call__(self, v: Tensor) -> Tensor:
        return self.scale * (1 - v.abs()).clamp(min=0)


@dataclass(frozen=True)
class FastSigmoid:
    """Use ``do/du = scale / (1 + slope |v|)²`` (Zenke & Ganguli 2018): never quite zero, so no neuron stops learning.

    >>> FastSigmoid(slope=1.0)(torch.tensor([0.0, 1.0]))
    tensor([1.0000, 0.2500])
    """

    slope: float = 10.0
    """Steepness: the larger, the narrower the peak."""
    scale: float = 1.0
    """Height of the peak, at the threshold."""

    def __call__(self, v: Tensor) -> Tensor:
        return self.scale / (1 + self.slope * v.abs()).square()


@dataclass(frozen=True)
class ArcTan:
    """Use ``do/du = (α/2) / (1 + (π α v / 2)²)`` (Fang et al. 2021, PLIF), the derivative of an arctangent; area 1.

    >>> ArcTan(alpha=2.0)(torch.tensor([0.0]))
    tensor([1.])
    """

    alpha: float = 2.0
    """α > 0: twice the height of the peak."""

    def __call__(self, v: Tensor) -> Tensor:
        return self.alpha / 2 / (1 + (pi / 2 * self.alpha * v).square())


class Underived(torch.autograd.Function):
    """Mark a value as having no derivative with respect to a tensor: asking for one raises.

    Every transform of ``torch.func`` raises too; ``once_differentiable`` would silently give a constant there.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, of: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        return

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError("trying to differentiate twice: surrogates, estimators and fused passes cannot be")

    jvp = backward


class _Fire(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(membrane: Tensor, threshold: float | Tensor, surrogate: Surrogate) -> Tensor:
        return (membrane > threshold).to(membrane.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float | Tensor, Surrogate], output: Tensor) -> None:
        membrane, threshold, ctx.surrogate = inputs
        held = (membrane, threshold) if isinstance(threshold, Tensor) else (membrane,)
        ctx.threshold = None if isinstance(threshold, Tensor) else threshold
        ctx.save_for_backward(*held)
        ctx.save_for_forward(*held)

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None, None]:
        return grad_spikes * _slope(ctx), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        return tangent * _slope(ctx)


def _slope(ctx: Any) -> Tensor:
    membrane, *threshold = ctx.saved_tensors
    with torch.no_grad():
        slope = ctx.surrogate(membrane / (threshold[0] if threshold else ctx.threshold) - 1)
    found: Tensor = Underived.apply(slope, membrane)  # type: ignore[no-untyped-call]
    return found


def fire(
    membrane: Float[Tensor, "*shape"], threshold: float | Tensor = 1.0, surrogate: Surrogate = Triangle()
) -> Float[Tensor, "*shape"]:
    """Fire: spikes ``o = 1[u > θ]``, strictly greater; backward uses ``do/du = surrogate(u/θ - 1)`` (Eq. 8).

    Args:
        membrane: u, any shape.
        threshold: θ > 0, in the membrane's unit; a constant, of the membrane's shape or expanded to it.
        surrogate: the stand-in for the derivative of the step.

    Returns:
        Spikes of the membrane's shape and dtype, each 0 or 1. A NaN membrane does not fire.

    Differentiating twice raises: the surrogate is a derivative, not a function that has one.

    >>> fire(torch.tensor([0.9, 1.0, 1.1]))
    tensor([0., 0., 1.])
    """
    spikes: Tensor = _Fire.apply(membrane, threshold, surrogate)  # type: ignore[no-untyped-call]
    return spikes

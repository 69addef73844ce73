"""Poisson rate coding (paper Supplement B): a pixel fires at each step with a probability set by its value.

A spike has no derivative; its expectation has one. A gradient estimator is a function that returns a stand-in for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.ops.spike import Underived

GradientEstimator = Callable[[Tensor, bool], Tensor]
"""``(x, signed)`` → a stand-in for ``dE[s]/dx``, element by element, of x's shape."""


def signed_rate(x: Float[Tensor, "*shape"], uniform: Float[Tensor, "*T_shape"]) -> Float[Tensor, "*T_shape"]:
    """Return signed spikes, as released: ``s = sign(x) · [2r ≤ |x|]`` on normalised pixels, so ``E[s] = x/2``.

    Beyond |x| = 2 the pixel fires at every step; at 0, the mean of the dataset, never.

    Args:
        x: normalised pixels ``[B, C, H, W]``, mean 0.
        uniform: r in [0, 1), ``[B, C, H, W]``, or ``[T, B, C, H, W]`` for all steps.

    >>> signed_rate(torch.tensor([-2.0, 0.0, 0.5, 1.0]), torch.tensor([0.9, 0.0, 0.3, 0.5]))
    tensor([-1., 0., 0., 1.])
    """
    return (2 * uniform <= x.abs()) * x.sign()


def unsigned_rate(x: Float[Tensor, "*shape"], uniform: Float[Tensor, "*T_shape"]) -> Float[Tensor, "*T_shape"]:
    """Return binary spikes ``s = [r < x]`` for x in [0, 1], so ``E[s] = x``: frequency proportional to intensity.

    Args:
        x: pixels ``[B, C, H, W]`` in [0, 1].
        uniform: r in [0, 1), ``[B, C, H, W]`` for one step or ``[T, B, C, H, W]`` for all.

    >>> unsigned_rate(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.4, 0.999]))
    tensor([0., 1., 1.])
    """
    return (uniform < x).to(x.dtype)


def expectation(x: Float[Tensor, "*shape"], signed: bool) -> Float[Tensor, "*shape"]:
    """Return ``E[s]`` of a pixel: ``clip(x/2, -1, 1)`` if signed, else ``clip(x, 0, 1)``. Gradients pass as for clamp.

    Args:
        x: pixels, any shape: normalised if signed, else in [0, 1].
        signed: True for the signed code (:func:`signed_rate`), False for the unsigned one.

    >>> expectation(torch.tensor([-3.0, 1.0]), True), expectation(torch.tensor([0.25, 1.5]), False)
    (tensor([-1.0000,  0.5000]), tensor([0.2500, 1.0000]))
    """
    return (x / 2).clamp(-1, 1) if signed else x.clamp(0, 1)


def straight_through(x: Float[Tensor, "*shape"], signed: bool) -> Float[Tensor, "*shape"]:
    """Return 1 for ``dE[s]/dx`` everywhere, beyond saturation too: every pixel has a gradient (Bengio et al. 2013).

    Args:
        x: pixels, any shape.
        signed: not used: both codes have the same factor.

    >>> straight_through(torch.tensor([0.5, 3.0]), True)
    tensor([1., 1.])
    """
    return torch.ones_like(x)


def expected(x: Float[Tensor, "*shape"], signed: bool) -> Float[Tensor, "*shape"]:
    """Return the derivative of :func:`expectation`: ½ where |x| < 2, else 0; unsigned, 1 inside (0, 1), else 0.

    Args:
        x: pixels, any shape.
        signed: True for the signed code, False for the unsigned one.

    >>> expected(torch.tensor([-3.0, -1.0, 0.5]), True), expected(torch.tensor([0.0, 0.5, 1.0]), False)
    (tensor([0.0000, 0.5000, 0.5000]), tensor([0., 1., 0.]))
    """
    return (x.abs() < 2).to(x.dtype) / 2 if signed else ((x > 0) & (x < 1)).to(x.dtype)


class _Estimated(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(spikes: Tensor, x: Tensor, factor: Tensor) -> Tensor:
        return spikes.view_as(spikes)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[None, Tensor, None]:
        _, x, factor = ctx.saved_tensors
        return None, grad_spikes.sum(0) * Underived.apply(factor, x), None  # type: ignore[no-untyped-call]

    @staticmethod
    def jvp(ctx: Any, _: Any, tangent: Tensor, *__: Any) -> Tensor:
        spikes, x, factor = ctx.saved_tensors
        towards: Tensor = tangent * Underived.apply(factor, x)  # type: ignore[no-untyped-call]
        return towards.expand_as(spikes)


def estimated(
    spikes: Float[Tensor, "T *shape"], x: Float[Tensor, "*shape"], factor: Float[Tensor, "*shape"]
) -> Float[Tensor, "T *shape"]:
    """Return the spikes unchanged; backward, every step passes its gradient to x, times an estimator's factor.

    Differentiating twice raises: the factor is a derivative and has none of its own.

    Args:
        spikes, x: spikes ``[T, *shape]``, drawn from pixels ``[*shape]``.
        factor: ``dE[s]/dx`` by an estimator such as :func:`expected`, ``[*shape]``.

    >>> x = torch.tensor([0.5, 3.0], requires_grad=True)
    >>> spikes = signed_rate(x.detach(), torch.tensor([[0.1, 0.5], [0.9, 0.5]]))
    >>> estimated(spikes, x, expected(x.detach(), True)).sum().backward()
    >>> x.grad
    tensor([1., 0.])
    """
    out: Tensor = _Estimated.apply(spikes, x, factor)  # type: ignore[no-untyped-call]
    return out

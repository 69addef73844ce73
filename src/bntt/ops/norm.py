"""Temporal normalisation (paper Eq. 9 and Algorithm 1), for the whole family of methods.

Mean and variance are taken once per time step and channel; a row-stochastic matrix over time then pools them
(:mod:`bntt.ops.pooling`). Tensors are ``[T, B, C, *space]``; one step is a sequence of length one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Statistics of the current, one row for each step, or one row for all steps.

    >>> Moments(mean=torch.zeros(5, 8), var=torch.ones(5, 8), count=(32,) * 5).mean.shape
    torch.Size([5, 8])
    """

    mean: Float[Tensor, "rows C"]
    """μ."""
    var: Float[Tensor, "rows C"]
    """σ², biased: divided by ``count``."""
    count: tuple[int, ...]
    """Number of values behind each row."""


def step_moments(x: Float[Tensor, "T B C *space"]) -> Moments:
    """Return each step's ``μ_t = mean(x_t)``, ``σ²_t = mean((x_t - μ_t)²)`` over batch and space (Algorithm 1, Eq. 1).

    It makes two passes, so the variance is right even if the mean is a thousand standard deviations away from 0.

    Args:
        x: the current, ``[T, B, C, ...]``.

    >>> step_moments(torch.tensor([[[1.0], [3.0]]])).var
    tensor([[1.]])
    """
    dims = (1, *range(3, x.ndim))
    mean = x.mean(dims, keepdim=True)
    var = (x - mean).square().mean(dims)
    count = x[0].numel() // x.shape[2]
    return Moments(mean.flatten(1), var, (count,) * x.shape[0])


def pool_moments(moments: Moments, weights: Float[Tensor, "rows T"]) -> Moments:
    """Return moments pooled over steps: ``μ̃ = A μ``, ``σ̃² = A (σ² + μ²) - μ̃²``, with A row-stochastic.

    The mean of step 0 is subtracted first: the result is the same, with fewer digits lost.

    Args:
        moments: one row for each of T steps.
        weights: A, ``[rows, T]``; each row sums to 1.

    >>> pool_moments(Moments(torch.tensor([[0.0], [2.0]]), torch.ones(2, 1), (8, 8)), torch.full((1, 2), 0.5)).var
    tensor([[2.]])
    """
    held = (weights > 0).tolist()
    count = tuple(sum(n for n, used in zip(moments.count, row, strict=True) if used) for row in held)
    weights = weights.to(moments.mean)
    shift = moments.mean[:1].detach()
    centred = moments.mean - shift
    with torch.autocast("cpu" if centred.is_meta else centred.device.type, enabled=False):
        mean = weights @ centred
        var = (weights @ (moments.var + centred.square()) - mean.square()).clamp(min=0)
    return Moments(mean + shift, var, count)


def joined_moments(parts: Sequence[Moments]) -> Moments:
    """Return the moments of consecutive parts as those of one run of steps.

    Args:
        parts: in order of time.

    >>> joined_moments([Moments(torch.zeros(1, 1), torch.ones(1, 1), (8,))] * 2).count
    (8, 8)
    """
    if len(parts) == 1:
        return parts[0]
    count = tuple(n for part in parts for n in part.count)
    return Moments(torch.cat([part.mean for part in parts]), torch.cat([part.var for part in parts]), count)


def moment_sums(moments: Moments) -> Float64[Tensor, "rows sums"]:
    """Return the sums that add up over parts of a batch: ``n``, ``n μ``, ``n (σ² + μ²)`` per row, ``[rows, 1 + 2 C]``.

    Args:
        moments: of one part.

    >>> moment_sums(Moments(torch.tensor([[3.0]]), torch.tensor([[1.0]]), (2,)))
    tensor([[ 2.,  6., 20.]], dtype=torch.float64)
    """
    n = torch.tensor(moments.count, dtype=torch.float64, device=moments.mean.device)[:, None]
    mean = moments.mean.double()
    return torch.cat([n, n * mean, n * (moments.var.double() + mean.square())], 1)


def moments_of_sums(sums: Float64[Tensor, "rows sums"]) -> Moments:
    """Return the float64 moments behind :func:`moment_sums`.

    Args:
        sums: ``[rows, 1 + 2 C]``, of a batch or added up over its parts.

    >>> parts = (Moments(torch.tensor([[m]]), torch.zeros(1, 1), (4,)) for m in (1.0, 3.0))
    >>> moments_of_sums(sum(moment_sums(part) for part in parts))
    Moments(mean=tensor([[2.]], dtype=torch.float64), var=tensor([[1.]], dtype=torch.float64), count=(8,))
    """
    mean, square = (sums[:, 1:] / sums[:, :1]).chunk(2, 1)
    return Moments(mean, (square - mean.square()).clamp(min=0), tuple(map(round, sums[:, 0].tolist())))


def add_up(moments: Moments, reduce: Callable[[Tensor], Tensor]) -> Moments:
    """Return the moments of a batch that several processes share; each calls this with the moments of its own part.

    ``reduce`` is called once here and once in the backward pass, which sums the gradients of all processes' losses with
    respect to the batch's moments. The dtype stays.

    Args:
        moments: of this process's part.
        reduce: sums a tensor over processes.

    >>> whole = add_up(Moments(torch.ones(1, 1), torch.ones(1, 1), (4,)), lambda sums: 2 * sums)
    >>> whole.mean, whole.count
    (tensor([[1.]]), (8,))
    """
    found = moments_of_sums(_AddUp.apply(moment_sums(moments), reduce))  # type: ignore[no-untyped-call]
    return Moments(found.mean.to(moments.mean), found.var.to(moments.var), found.count)


class _AddUp(torch.autograd.Function):
    @staticmethod
    def forward(sums: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        return reduce(sums.clone())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Callable[[Tensor], Tensor]], output: Tensor) -> None:
        _, ctx.reduce = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _AddUp.apply(grad, ctx.reduce), None  # type: ignore[no-untyped-call]

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: Any) -> Tensor:
        summed: Tensor = _AddUp.apply(tangent, ctx.reduce)  # type: ignore[no-untyped-call]
        return summed


def update_running(
    running_mean: Float[Tensor, "rows C"], running_var: Float[Tensor, "rows C"], batch: Moments, momentum: float
) -> None:
    """Update ``running ← (1 - a) running + a batch`` (Algorithm 1), in place, row by row; the variance unbiased.

    If the statistics are shared (one running row) and the batch has a row for each step, the rows enter in order of
    time: T updates. One row of a batch, pooled over its steps, enters every running row.

    Args:
        running_mean, running_var: ``[T, C]`` or ``[1, C]``, overwritten.
        batch: the batch's moments.
        momentum: a, in [0, 1].

    >>> mean, var = torch.zeros(1, 1), torch.ones(1, 1)
    >>> update_running(mean, var, Moments(torch.ones(1, 1), torch.ones(1, 1), (2,)), 0.5)
    >>> mean, var
    (tensor([[0.5000]]), tensor([[1.5000]]))
    """
    factors = [n / (n - 1) for n in batch.count]
    one = factors[0] if len(set(factors)) == 1 else batch.var.new_tensor(factors)[:, None]  # a number needs no copy
    unbiased = batch.var * one
    for running, value in ((running_mean, batch.mean), (running_var, unbiased)):
        rows = value.detach().to(running).expand(max(len(value), len(running)), -1)
        for row in rows.reshape(-1, *running.shape):
            running.lerp_(row, momentum)


def normalize(
    x: Float[Tensor, "T B C *space"],
    mean: Float[Tensor, "rows C"],
    var: Float[Tensor, "rows C"],
    gamma: Float[Tensor, "rows2 C"],
    beta: Float[Tensor, "rows3 C"] | None = None,
    eps: float = 1e-4,
) -> Float[Tensor, "T B C *space"]:
    """Return Eq. 9: ``y_t = γ_t (x_t - μ_t) / √(σ²_t + ε) (+ β_t)``; BNTT has no β.

    Args:
        x: the current, ``[T, B, C, ...]``.
        mean, var, gamma, beta: μ, σ², γ and β, each ``[T, C]``, or ``[1, C]`` for all steps; a β of None is 0.
        eps: ε.

    >>> normalize(torch.tensor([[[3.0]]]), torch.ones(1, 1), torch.full((1, 1), 4.0), torch.ones(1, 1), eps=0.0)
    tensor([[[1.]]])
    """

    def over(rows: Tensor) -> Tensor:
        return rows.reshape(rows.shape[0], 1, -1, *[1] * (x.ndim - 3))

    y = (x - over(mean)) * over(gamma * (var + eps).rsqrt())
    return y if beta is None else y + over(beta)

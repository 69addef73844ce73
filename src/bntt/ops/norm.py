"""Temporal normalisation (paper Eq. 9 and Algorithm 1), for the whole family of methods.

Mean and variance are taken once per time step and channel. A row-stochastic matrix over time then pools them: the
identity is BNTT, one row of 1/T is tdBN and TEBN, the lower triangle is TAB. Tensors are ``[T, B, C, *space]``; one
step is a sequence of length one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Statistics of the current, one row for each step (or one row for all steps)."""

    mean: Float[Tensor, "rows C"]
    """μ."""
    var: Float[Tensor, "rows C"]
    """σ², biased: divided by ``count``."""
    count: tuple[int, ...]
    """How many values each row was taken over."""


def step_moments(x: Float[Tensor, "T B C *space"]) -> Moments:
    """Algorithm 1, per step: ``μ_t = mean(x_t)``, ``σ²_t = mean((x_t - μ_t)²)`` over batch and space (Eq. 1).

    Two passes, so the variance is right where the mean is a thousand deviations away.

    >>> step_moments(torch.tensor([[[1.0], [3.0]]])).var
    tensor([[1.]])
    """
    dims = (1, *range(3, x.ndim))
    mean = x.mean(dims, keepdim=True)
    var = (x - mean).square().mean(dims)
    count = x[0].numel() // x.shape[2]
    return Moments(mean.flatten(1), var, (count,) * x.shape[0])


def all_steps(num_steps: int) -> Float[Tensor, "1 T"]:
    """Weights of tdBN, TEBN and pooled BN: one row, every step alike.

    >>> all_steps(2)
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    return torch.full((1, num_steps), 1 / num_steps, dtype=torch.float64)


def past_steps(num_steps: int) -> Float[Tensor, "T T"]:
    """Weights of TAB: row t takes steps 0..t alike.

    >>> past_steps(2)
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]], dtype=torch.float64)
    """
    lower = torch.ones(num_steps, num_steps, dtype=torch.float64).tril()
    return lower / lower.sum(1, keepdim=True)


def pool_moments(moments: Moments, weights: Float[Tensor, "rows T"]) -> Moments:
    """Moments over several steps: ``μ̃ = A μ``, ``σ̃² = A (σ² + μ²) - μ̃²``, with A row-stochastic.

    The means are first shifted by that of step 0, which leaves the result and saves its digits.

    >>> pool_moments(Moments(torch.tensor([[0.0], [2.0]]), torch.ones(2, 1), (8, 8)), all_steps(2)).var
    tensor([[2.]])
    """
    held = (weights > 0).tolist()
    count = tuple(sum(n for n, used in zip(moments.count, row, strict=True) if used) for row in held)
    weights = weights.to(moments.mean)
    shift = moments.mean[:1].detach()
    centred = moments.mean - shift
    mean = weights @ centred
    var = (weights @ (moments.var + centred.square()) - mean.square()).clamp(min=0)
    return Moments(mean + shift, var, count)


def extend_moments(past: Moments | None, step: Moments) -> Moments:
    """Moments over steps 0..t from those over 0..t-1 and those of step t: :func:`past_steps`, one step at a time.

    >>> zero, two = (Moments(torch.tensor([[m]]), torch.ones(1, 1), (8,)) for m in (0.0, 2.0))
    >>> extend_moments(zero, two).var
    tensor([[2.]])
    """
    if past is None:
        return step
    count = past.count[0] + step.count[0]
    share = step.count[0] / count
    mean = past.mean + share * (step.mean - past.mean)
    spread_past = past.var + (past.mean - mean).square()
    spread_step = step.var + (step.mean - mean).square()
    return Moments(mean, (1 - share) * spread_past + share * spread_step, (count,))


def moment_sums(moments: Moments) -> Float64[Tensor, "rows sums"]:
    """What adds up over the parts of a batch: ``n``, ``n μ`` and ``n (σ² + μ²)`` of each row, ``[rows, 1 + 2 C]``.

    >>> moment_sums(Moments(torch.tensor([[3.0]]), torch.tensor([[1.0]]), (2,)))
    tensor([[ 2.,  6., 20.]], dtype=torch.float64)
    """
    n = torch.tensor(moments.count, dtype=torch.float64, device=moments.mean.device)[:, None]
    mean = moments.mean.double()
    return torch.cat([n, n * mean, n * (moments.var.double() + mean.square())], 1)


def moments_of_sums(sums: Float64[Tensor, "rows sums"]) -> Moments:
    """The moments, in float64, that :func:`moment_sums` of a batch, or of its parts together, come from.

    >>> parts = (Moments(torch.tensor([[m]]), torch.zeros(1, 1), (4,)) for m in (1.0, 3.0))
    >>> moments_of_sums(sum(moment_sums(part) for part in parts))
    Moments(mean=tensor([[2.]], dtype=torch.float64), var=tensor([[1.]], dtype=torch.float64), count=(8,))
    """
    mean, square = (sums[:, 1:] / sums[:, :1]).chunk(2, 1)
    return Moments(mean, (square - mean.square()).clamp(min=0), tuple(map(round, sums[:, 0].tolist())))


def update_running(
    running_mean: Float[Tensor, "rows C"], running_var: Float[Tensor, "rows C"], batch: Moments, momentum: float
) -> None:
    """Algorithm 1: ``running ← (1 - a) running + a batch``, in place, row by row; the variance unbiased.

    Where the statistics are shared (one running row) and the batch has a row for each step, the rows enter in order
    of time: T updates.

    >>> mean, var = torch.zeros(1, 1), torch.ones(1, 1)
    >>> update_running(mean, var, Moments(torch.ones(1, 1), torch.ones(1, 1), (2,)), 0.5)
    >>> mean, var
    (tensor([[0.5000]]), tensor([[1.5000]]))
    """
    factors = [n / (n - 1) for n in batch.count]
    one = factors[0] if len(set(factors)) == 1 else batch.var.new_tensor(factors)[:, None]  # a number needs no copy
    unbiased = batch.var * one
    for running, value in ((running_mean, batch.mean), (running_var, unbiased)):
        for row in value.detach().to(running).reshape(-1, *running.shape):
            running.lerp_(row, momentum)


def normalize(
    x: Float[Tensor, "T B C *space"],
    mean: Float[Tensor, "rows C"],
    var: Float[Tensor, "rows C"],
    gamma: Float[Tensor, "rows2 C"],
    beta: Float[Tensor, "rows3 C"] | None = None,
    eps: float = 1e-4,
) -> Float[Tensor, "T B C *space"]:
    """Eq. 9's normalisation: ``y_t = γ_t (x_t - μ_t) / √(σ²_t + ε) (+ β_t)``; BNTT has no β.

    Each of μ, σ², γ and β has one row for each step, or a single row shared by all.

    >>> normalize(torch.tensor([[[3.0]]]), torch.ones(1, 1), torch.full((1, 1), 4.0), torch.ones(1, 1), eps=0.0)
    tensor([[[1.]]])
    """

    def over(rows: Tensor) -> Tensor:
        return rows.reshape(rows.shape[0], 1, -1, *[1] * (x.ndim - 3))

    y = (x - over(mean)) * over(gamma * (var + eps).rsqrt())
    return y if beta is None else y + over(beta)

"""Learning rates as functions of training progress: resuming needs no scheduler state, and rounding does not grow.

``x`` is the share of the schedule that is done, from 0 to 1, and the rate of an update is ``lr · factor``:

* "step": ``lr_factor ** (drops reached)``, as in the paper;
* "cosine": ``(1 + cos(π x)) / 2`` (Loshchilov & Hutter 2017, one descent to 0), as ``CosineAnnealingLR``;
* "one-cycle": from 1/25 up to 1 in the first 30 %, then down to 1/250,000, both as half a cosine, while momentum (β₁)
  goes from 0.95 down to 0.85 and up again (Smith & Topin 2018), as ``OneCycleLR``'s defaults;
* "constant": 1.

A warm-up of w epochs precedes "step", "cosine" and "constant". It changes the rate at every update even if the
schedule does so at every epoch: update u of its ``U = round(w · updates per epoch)``, counted from 1, has the factor
``u / U``, as ``LinearLR(1 / U, total_iters=U - 1)``. Then "cosine" descends over the remaining updates,
``x = max(0, n - U) / (N - U)`` of N updates in all, where n is the number of updates done so far, or, with
``lr_every = "epoch"``, before the epoch. "step" drops at the same percentages of the whole training as without a
warm-up, and "constant" is 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn, optim
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bntt.nn.untouched import own_tensor
from bntt.training.method import PAPER_DROPS, Method
from bntt.training.optimizer import stepped

RISE, START, END = 0.3, 1 / 25, 1 / 25e4
"""One-cycle: share of the updates in which the rate rises, and the factors that it starts from and ends with."""
MOMENTUM = (0.95, 0.85)
"""One-cycle: momentum at the lowest rate and at the highest."""


@dataclass(frozen=True)
class Rates:
    """Learning rates of a whole training."""

    method: Method
    epochs: int
    updates: int
    """Number of updates in an epoch."""

    def factor(self, epoch: int, update: int) -> float:
        """Return the factor on the first rate in an update; epoch and update count from 0."""
        method = self.method
        if method.schedule == "one-cycle":
            return self._cycle(epoch, update, START, 1.0, END)
        by_step = method.lr_every == "step"
        total, warm = self.epochs * self.updates, round(method.warmup * self.updates)
        done = epoch * self.updates + update
        if done < warm:
            return (done + 1) / warm
        if not by_step:
            done = epoch * self.updates
        if method.schedule == "step":
            reached = (done, total) if by_step else (epoch, self.epochs)
            return method.lr_factor ** drops_reached(*reached, method.lr_drops)
        if method.schedule == "constant":
            return 1.0
        return (1 + math.cos(math.pi * max(0, done - warm) / max(1, total - warm))) / 2

    def momentum(self, epoch: int, update: int) -> float:
        """Return the momentum (β₁) of an update."""
        if self.method.schedule != "one-cycle":
            return self.method.momentum
        slow, fast = MOMENTUM
        return self._cycle(epoch, update, slow, fast, slow)

    def apply(self, optimizer: optim.Optimizer, epoch: int, update: int) -> None:
        """Set every group's rate for an update, from the group's initial rate, and a cycle's momentum."""
        factor = self.factor(epoch, update)
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
            if self.method.schedule == "one-cycle":
                momentum = self.momentum(epoch, update)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                elif "momentum" in group:
                    group["momentum"] = momentum

    def _cycle(self, epoch: int, update: int, start: float, top: float, end: float) -> float:
        last = max(1, self.epochs * self.updates - 1)
        done = epoch * self.updates + update
        turn = RISE * (last + 1) - 1
        if done <= turn:
            return _half_cosine(start, top, done / turn)
        return _half_cosine(top, end, (done - turn) / (last - turn))


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def drops_reached(done: int, total: int, drops: Sequence[int] = PAPER_DROPS) -> int:
    """Return the number of drops passed by epoch ``done`` of ``total``; each is at epoch ``total · percent // 100``.

    It calculates in integers: the released code compares ``90 * 0.7 == 62.999...`` with 63 and skips that drop. A drop
    before the first epoch does not count; in schedules of a few epochs several drops may fall on one.

    Args:
        done, total: numbers of finished epochs, and of epochs in the schedule.
        drops: the places of the drops, in percent of ``total``.

    >>> [drops_reached(epoch, 90) for epoch in (44, 45, 63, 81)]
    [0, 1, 2, 3]
    """
    milestones = [total * percent // 100 for percent in drops]
    return sum(0 < milestone <= done for milestone in milestones)


def floor_of_decay(rates: Rates, updates: int) -> float | None:
    """Return the value to which SGD shrinks a γ of 1 without a gradient in this number of updates; None if not SGD.

    ``v ← m v + decay γ, γ ← γ - lr v``, or by Nesterov ``γ - lr (decay γ + m v)``.
    """
    method = rates.method
    if method.optimizer != "sgd" or method.gamma_decay is None:
        return None
    gamma, velocity = 1.0, 0.0
    for done in range(updates):
        where = divmod(done, rates.updates)
        momentum, gradient = rates.momentum(*where), method.gamma_decay * gamma
        velocity = momentum * velocity + gradient
        step = gradient + momentum * velocity if method.nesterov else velocity
        gamma -= method.lr * rates.factor(*where) * step
    return gamma


def updates_of(method: Method, loader: object) -> int:
    """Return the number of updates in an epoch, for which a loader must tell its length; 1 if no rate depends on it."""
    if method.schedule != "one-cycle" and method.lr_every == "epoch" and method.warmup == 0:
        return 1
    if (batches := batches_of(loader)) is None:
        raise ValueError(f"schedule {method.schedule!r} by update, or with a warm-up, needs the length of the loader")
    return -(-batches // method.accumulate)


def batches_of(loader: object) -> int | None:
    """Return the number of batches in an epoch; None if the loader does not tell it."""
    try:
        return len(cast(Sized, loader))
    except TypeError:
        return None


Stages = Sequence[Sequence[int]]
"""Pairs ``(steps, epochs)``: a number of steps and for how many epochs, in order; after them, all steps."""


def steps_in(stages: Stages, epoch: int, num_steps: int) -> int:
    """Return the number of steps that an epoch, counted from 0, takes."""
    for steps, epochs in stages:
        if epoch < epochs:
            return steps
        epoch -= epochs
    return num_steps


def check_stages(stages: Stages, epochs: int, num_steps: int) -> None:
    """Refuse stages that leave no epoch for all steps, or that already take all steps."""
    if stages and (stages[-1][0] >= num_steps or sum(many for _, many in stages) >= epochs):
        listed = [list(stage) for stage in stages]
        less = f"fewer steps than the network's {num_steps}, and fewer epochs in all than {epochs}"
        raise ValueError(f"grow = {listed} must take {less}")


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Create the average of a model: floating-point tensors are averaged, others, such as counts and places, copied."""
    moving = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def move(average: Any, now: Any, updates: Any) -> None:
        if average[0].is_floating_point() or average[0].is_complex():
            moving(average, now, updates)
        else:
            for one, other in zip(average, now, strict=True):
                one.copy_(other)

    return AveragedModel(model, multi_avg_fn=move, use_buffers=True).requires_grad_(False).eval()


@torch.no_grad()
def hold_from(model: nn.Module, first: int, optimizer: optim.Optimizer, average: nn.Module | None = None) -> None:
    """Copy step ``first - 1`` of what every norm trains (γ, β, p, momentum) and of its statistics to all later ones."""
    learned = set(stepped(optimizer))
    pairs: Iterable[tuple[Any, Any]] = zip(model.modules(), (average or model).modules(), strict=True)
    for norm, twin in pairs:
        if not hasattr(norm, "step_tables"):
            continue
        for name, _ in norm.step_tables():
            table, averaged = own_tensor(norm, name), own_tensor(twin, name)
            if isinstance(table, nn.Parameter) and not (table.requires_grad and table in learned):
                continue
            state = optimizer.state.get(table, {}).values()
            same = [value for value in state if isinstance(value, Tensor) and value.shape == table.shape]
            for rows in (table, averaged, *same):
                rows[first:] = rows[first - 1].clone()

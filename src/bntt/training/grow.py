"""Growing T: a training that begins with the first few steps of its network, and goes on with more.

A network of T steps is trained on its first T' alone (``steps=T'``: the others are not computed), and when an epoch
takes more, what each norm has of the new steps begins as what it has of the last one so far, momentum included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

Stages = Sequence[Sequence[int]]
"""``(steps, epochs)``: with how many steps for how many epochs, in order; all steps from then on."""


def steps_in(stages: Stages, epoch: int, num_steps: int) -> int:
    """How many steps an epoch takes, counted from 0.

    >>> [steps_in([(2, 1), (4, 2)], epoch, 8) for epoch in range(5)]
    [2, 4, 4, 8, 8]
    """
    for steps, epochs in stages:
        if epoch < epochs:
            return steps
        epoch -= epochs
    return num_steps


def check_stages(stages: Stages, epochs: int, num_steps: int) -> None:
    """Refuse stages after which nothing is left, or that take all steps already.

    Raises:
        ValueError: saying what they must be.
    """
    if stages and (stages[-1][0] >= num_steps or sum(many for _, many in stages) >= epochs):
        raise ValueError(
            f"grow = {[list(stage) for stage in stages]} must take fewer steps than the network's {num_steps}, and "
            f"fewer epochs in all than {epochs}: the last epochs take all steps"
        )


@torch.no_grad()
def hold_from(model: nn.Module, first: int, optimizer: optim.Optimizer | None = None) -> None:
    """Make step ``first`` and all after it what step ``first - 1`` is, in every norm: γ, β, p, statistics, momentum.

    >>> from bntt.models import mlp
    >>> net = mlp(hidden=(2,), num_steps=3)
    >>> _ = net.blocks["fc1"].norm.gamma.data[0].fill_(0.5)
    >>> hold_from(net, 1)
    >>> net.blocks["fc1"].norm.gamma[:, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    parts: Iterable[Any] = model.modules()
    for norm in parts:
        if hasattr(norm, "step_tables"):
            for _, table in norm.step_tables():
                state = {} if optimizer is None else optimizer.state.get(table, {})
                same = [value for value in state.values() if isinstance(value, Tensor) and value.shape == table.shape]
                for rows in (table, *same):
                    rows[first:] = rows[first - 1].clone()

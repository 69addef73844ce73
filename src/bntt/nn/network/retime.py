"""A trained network at another number of time steps: its per-step tables lengthened or shortened by a named rule."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from torch import Tensor, nn

from bntt.nn.blocks import settle
from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import check_network
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import FoldedLIF
from bntt.nn.norms import NormMethod, check_window
from bntt.ops.retime import retiming

FAINT = 0.1
"""Mean |γ| below which a layer is nearly silent: where the paper's early exit stops."""


def retime(network: SpikingNetwork, num_steps: int, how: str) -> SpikingNetwork:
    """Return a copy of the network for another T; the network itself is unchanged.

    What differs from step to step in a norm (γ, β, p, running statistics) is resampled by ``how``
    (:mod:`bntt.ops.retime`). To measure new statistics, call :func:`bntt.training.recalibrate`.

    Args:
        network: any spiking network that is not folded.
        num_steps: T of the copy; its encoder must have the same T.
        how: "truncate" for fewer steps; "hold" or "interpolate" for more.

    Raises:
        ValueError: if ``how`` is unknown or leads in the other direction, or a norm's window is longer than T.
        TypeError: on a part with steps of its own and no ``step_tables``: a folded network, or a custom part.

    Warns:
        UserWarning: if "hold" would repeat a nearly silent last step, whose γ is near 0.

    >>> import torch
    >>> from bntt.models import mlp
    >>> longer = retime(mlp(hidden=(8,), num_steps=4), 6, "hold")
    >>> longer.num_steps, longer(torch.ones(6, 2, 1)).shape
    (6, torch.Size([2, 10]))
    """
    check_network(network, "retime")
    if network.num_steps is None:
        retiming(1, min(1, num_steps), how)  # checks the arguments, as no part has tables to check them with
    new, tied = copy.deepcopy(network), dict[int, tuple[Tensor, Tensor]]()
    for path, module in (*new.blocks.named_modules(), *new.readout.named_modules(prefix="readout")):
        alone = isinstance(module, FoldedLIF) and network.num_steps == 1  # its tables have one row, as constants do
        if hasattr(module, "step_tables"):
            _retime_part(module, num_steps, how, tied)
        elif alone or getattr(module, "num_steps", None) is not None:
            raise TypeError(
                f"{type(module).__name__} {path!r} has {module.num_steps or 1} steps that cannot be changed: "
                f"retime a network before it is folded, or build it with num_steps={num_steps}"
            )
    new.num_steps = settle(new.blocks, new.readout)
    if how == "hold" and (faint := faint_at_the_end(network)) and num_steps > (network.num_steps or num_steps):
        listed = ", ".join(f"{value:.2g} in {name}" for name, value in faint.items())
        warnings.warn(
            f"the last of {network.num_steps} steps is held for {num_steps - (network.num_steps or 0)} more, and its "
            f"mean |γ| is near 0, {listed}: these steps are nearly silent; use 'interpolate', or train with a "
            f"smaller decay of γ",
            stacklevel=2,
        )
    return new


def faint_at_the_end(network: SpikingNetwork) -> dict[str, float]:
    """Return the mean |γ| (p γ where a norm has a p) of layers at the last step, if it is below ``FAINT``."""
    found = {}
    for name, layer in network.layers.items():
        norm: Any = layer.norm
        if norm_facts(norm).running_statistics and {"gamma", "step_scale"} & dict(norm.step_tables()).keys():
            last = slice(norm.num_steps - 1, norm.num_steps)
            if (value := float(norm.scale_and_shift(last)[0].detach().abs().mean())) < FAINT:
                found[name] = value
    return found


def _retime_part(part: Any, num_steps: int, how: str, tied: dict[int, tuple[Tensor, Tensor]]) -> None:
    """Give a part another number of steps; ``tied`` maps the id of a table to the table and its resampled form."""
    rows = retiming(part.num_steps, num_steps, how)
    if isinstance(method := getattr(part, "method", None), NormMethod):
        check_window(f"{method.name} {part.path!r}", method.pooling, num_steps)
    for name, table in list(part.step_tables()):
        if id(table) not in tied:
            made = (rows.to(table.device) @ table.detach().double()).to(table.dtype)
            made = nn.Parameter(made, table.requires_grad) if isinstance(table, nn.Parameter) else made
            tied[id(table)] = table, made  # kept alive, so that no other table gets its id
        setattr(part, name, tied[id(table)][1])
    part.num_steps = num_steps

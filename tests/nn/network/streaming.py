"""Streams through a network, and what they would be had nobody called it before."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bntt.nn import SpikingNetwork
from bntt.nn.network.advance import PlanCache

T = 6


def with_statistics(net: SpikingNetwork) -> SpikingNetwork:
    """In evaluation, with running statistics that are not where they start."""
    numbers = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=numbers))
    return net.eval()


@torch.no_grad()
def stream(
    net: SpikingNetwork, x: Tensor, state: Any = None, at_once: int = 1, *, forgets: bool = False
) -> tuple[list[Tensor], Any]:
    """Logits, every membrane and the voltage after some steps at a time, and the state.

    Args:
        forgets: whether the network keeps nothing from call to call.
    """
    logits, held = [], net._kept
    for part in torch.split(x, at_once):
        if forgets:
            net._kept = PlanCache()
        some, state = net.advance(part, state)
        logits.append(some)
    net._kept = held
    membranes = [unit.membrane for block in state.blocks for unit in (block if type(block) is tuple else (block,))]
    return [*logits, *(one for one in membranes if one is not None), state.readout], state


def anew(net: SpikingNetwork, x: Tensor, state: Any = None, at_once: int = 1) -> list[Tensor]:
    """What a network gives that keeps nothing."""
    return stream(net, x, state, at_once, forgets=True)[0]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    """To the bit."""
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

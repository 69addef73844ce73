"""Running statistics that wait: they move with the update, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from bntt.nn.norm import TemporalNorm
from bntt.ops.norm import Moments


class HeldStatistics:
    """What training passes found while :func:`hold_statistics` was on."""

    def __init__(self) -> None:
        self._held: list[tuple[TemporalNorm, Moments, slice]] = []

    def put_off(self, norm: TemporalNorm, batch: Moments, running: slice) -> None:
        self._held.append((norm, Moments(batch.mean.detach(), batch.var.detach(), batch.count), running))

    def take_in(self) -> None:
        """Move the running statistics, in the order of the passes; once, then nothing is held any more."""
        for norm, batch, running in self._held:
            norm.take_in(batch, running)
        self._held.clear()


@contextmanager
def hold_statistics(module: nn.Module) -> Iterator[HeldStatistics]:
    """Inside, training passes leave the running statistics of every :class:`~bntt.nn.norm.TemporalNorm` alone.

    What they found is taken in when the caller says so: together with the optimiser's step, or never, by a pass that
    only measures.

    >>> from bntt.nn.norms import BNTT
    >>> import torch
    >>> norm = BNTT(1, num_steps=2)
    >>> with hold_statistics(norm) as held:
    ...     _ = norm(torch.full((2, 4, 1), 3.0))
    >>> norm.running_mean.flatten()
    tensor([0., 0.])
    >>> held.take_in()
    >>> norm.running_mean.flatten()
    tensor([0.3000, 0.3000])
    """
    held = HeldStatistics()
    norms = [(norm, norm.put_off) for norm in module.modules() if isinstance(norm, TemporalNorm)]
    try:
        for norm, _ in norms:
            norm.put_off = held.put_off
        yield held
    finally:
        for norm, before in norms:
            norm.put_off = before

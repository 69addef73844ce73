"""Held batch statistics: the running statistics move together with the update, or not at all.

Norms of this library give the moments of their batches; other parts move their buffers, which are copies meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bntt.nn.network.measured import evaluating
from bntt.nn.norms.temporal import PutOff, TemporalNorm
from bntt.ops.norm import Moments

Buffers = dict[tuple[nn.Module, str], Tensor]
"""Buffers by part and name."""


class HeldStatistics:
    """Statistics of the training passes inside :func:`hold_statistics`; returned by :func:`hold_statistics`.

    Args:
        before: each norm's receiver before the block.
        own: buffers of foreign parts before the block.
    """

    def __init__(self, before: dict[TemporalNorm, PutOff], own: Buffers) -> None:
        self.before, self.own = before, own
        self.ended: Buffers = {}
        """Buffers of foreign parts at the end of the block, until they are taken in."""
        self._held: list[tuple[TemporalNorm, Moments, slice]] = []

    def put_off(self, norm: TemporalNorm, batch: Moments, running: slice) -> None:
        """Hold a batch's moments for these rows of a norm's running statistics."""
        self._held.append((norm, Moments(batch.mean.detach(), batch.var.detach(), batch.count), running))

    @property
    def moments(self) -> list[tuple[str, Moments]]:
        """Held moments, in the order of the passes, each under its norm's name."""
        return [(norm.path or norm.method.name, batch) for norm, batch, _ in self._held]

    @property
    def moved(self) -> Buffers:
        """Buffers of foreign parts as the passes have left them."""
        now = {place: getattr(*place) for place in self.own}
        return self.ended or {place: value.detach() for place, value in now.items() if value is not None}

    @torch.no_grad()
    def take_in(self) -> None:
        """Update the running statistics by what is held, in the order of the passes; afterwards nothing is held.

        This works inside the block too; a surrounding ``hold_statistics`` block then holds them.
        """
        for place, value in self.moved.items():
            if not torch.equal(own := self.own[place], value.to(own)):
                own.resize_(value.shape).copy_(value)
        now, self._held, self.ended = self._held, [], {}
        with _put_off_by(self.before):
            for norm, batch, running in now:
                norm.take_in(batch, running)

    def put_averages(self) -> None:
        """Replace the running statistics by averages over all that is held; afterwards nothing is held.

        Each row becomes the mean of its batches' means, and of their unbiased variances.
        """
        now, self._held = self._held, []
        found: dict[TemporalNorm, tuple[Tensor, Tensor, Tensor]] = {}
        for norm, batch, running in now:
            if norm not in found:
                zeros = torch.zeros_like(norm.running_mean, dtype=torch.float64)
                found[norm] = zeros, zeros.clone(), zeros[:, :1].clone()
            mean, var, count = (table[running] for table in found[norm])
            unbiased = batch.var * batch.var.new_tensor([n / (n - 1) for n in batch.count])[:, None]
            for sums, rows in ((mean, batch.mean), (var, unbiased), (count, torch.ones_like(unbiased[:, :1]))):
                sums += rows if len(sums) > 1 else rows.sum(0)  # one running row may serve many steps
        for norm, (mean, var, count) in found.items():
            seen = count[:, 0] > 0
            norm.running_mean[seen] = (mean / count)[seen].to(norm.running_mean)
            norm.running_var[seen] = (var / count)[seen].to(norm.running_var)


@contextmanager
def hold_statistics(module: nn.Module, after: HeldStatistics | None = None) -> Iterator[HeldStatistics]:
    """Leave running statistics and the buffers of foreign parts unchanged inside the block, and hold how they move.

    Apply them with ``take_in()``, together with the optimiser's step; or never, after a pass that only measures.

    Args:
        module: a network, or any other module.
        after: statistics held before and not taken in yet, from which foreign parts go on.

    Yields:
        The held statistics.

    >>> from bntt.nn.norms.methods import BNTT
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
    parts = [*module.modules()]
    norms = {norm: norm.put_off for norm in parts if isinstance(norm, TemporalNorm)}
    held = HeldStatistics(norms, _foreign_buffers(parts))
    start = held.own if after is None else held.own | after.moved
    copies = {own: start[place].detach().clone() for place, own in held.own.items()}  # one of a buffer with two names
    try:
        for place, own in held.own.items():
            setattr(*place, copies[own])
        with _put_off_by(dict.fromkeys(norms, held.put_off)):
            yield held
    finally:
        held.ended = held.moved
        for place, own in held.own.items():
            setattr(*place, own)


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[HeldStatistics]:
    """Set evaluation mode inside the block, except for the norms: they use the batch's statistics, and hold them."""
    with evaluating(module), hold_statistics(module) as held:
        for norm in held.before:
            norm.training = True
        yield held


def _foreign_buffers(parts: Sequence[nn.Module]) -> Buffers:
    """Return the buffers of all parts that are not of this library; running statistics are held as moments."""
    return {
        (part, name): value
        for part in parts
        if not type(part).__module__.startswith("bntt.")
        for name, value in vars(part)["_buffers"].items()
        if value is not None and value.layout is torch.strided and not is_lazy(value)
        if not (isinstance(part, TemporalNorm) and name in ("running_mean", "running_var"))
    }


@contextmanager
def _put_off_by(takers: dict[TemporalNorm, PutOff]) -> Iterator[None]:
    before = {norm: norm.put_off for norm in takers}
    try:
        for norm, taker in takers.items():
            norm.put_off = taker
        yield
    finally:
        for norm, taker in before.items():
            norm.put_off = taker

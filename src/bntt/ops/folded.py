"""Neurons whose constants vary with the time step and the channel: those of a network without its norms.

With ``v_t = u_t / s_t`` an affine normalisation ``z_t = s_t y_t + b_t`` becomes part of the neuron after it, exactly.
The leak is ``λ s_{t-1} / s_t``, threshold and amount are ``θ / s_t`` (for ``fire_before`` the threshold is
``θ / s_{t-1}``), and the bias is ``b_t / s_t``. The slope is ``|s|`` of the threshold, and the neuron is turned where
that s is negative. If ``s_t = 0``, use 1 in its place and a gain of 0 for the current. These neurons are for
evaluation: gradients pass through them, but not to their constants.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.ops.lif import Cell, Neuron, Reset, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import Surrogate, Triangle, fire

Table = float | Tensor
"""A number; or ``[T, C]``, ``[T, 1]`` (by step), ``[1, C]`` (by channel)."""
TABLES = ("leak", "threshold", "amount", "gain", "bias", "turned", "slope")


@dataclass(frozen=True, eq=False)
class FoldedNeuron:
    """Constants of neurons that differ from step to step and from channel to channel, see :func:`folded_sequence`.

    Raises:
        ValueError: if table shapes disagree, a value is not finite, the membrane at rest would cross a threshold, or
            the firing rule or reset is a custom one.

    >>> FoldedNeuron(leak=torch.tensor([[0.0], [1.9]]), threshold=1.5).num_steps
    2
    """

    leak: Table
    """λ, any finite number."""
    threshold: Table
    """θ: above 0, and below 0 where the neuron is turned."""
    amount: Table | None = None
    """Amount that a soft reset subtracts; None is the threshold."""
    gain: Table = 1.0
    """Factor of the current."""
    bias: Table = 0.0
    """Term added to the current after the gain."""
    turned: bool | Tensor = False
    """True where it fires below θ instead of above: a bool, or a tensor of them."""
    slope: Table = 1.0
    """Factor of the surrogate gradient."""
    rule: Callable[[Tensor, Tensor, Cell], tuple[Tensor, Tensor]] = fire_after
    """Firing rule: ``fire_after`` (the paper) or ``fire_before``."""
    reset: Reset = soft_reset
    """Reset of the membrane by a spike: ``soft_reset`` (the paper) or ``hard_reset``."""
    surrogate: Surrogate = Triangle()
    """do/dm for m relative to θ, apart from slope and sign."""

    def __post_init__(self) -> None:
        if self.rule not in (fire_after, fire_before) or self.reset not in (soft_reset, hard_reset):
            raise ValueError("a folded neuron fires by fire_after or fire_before and has a soft_reset or a hard_reset")
        for name, table in self.tables():
            _check_kind(name, table)
        _ = self.num_steps, self.channels  # they raise if tables disagree
        turned = torch.as_tensor(self.turned, dtype=torch.bool)
        for name, table in self.tables():
            values = torch.as_tensor(table)
            _refuse(name, table, ~torch.isfinite(values), "must be finite")
            if name == "threshold":
                _refuse(name, table, (values <= 0) & ~turned, "must be above 0 where it is not turned")
                _refuse(name, table, (values >= 0) & turned, "must be below 0 where it is turned")

    @property
    def num_steps(self) -> int | None:
        """T, if a table has a row for every step; else None."""
        return self._size(0, "time steps")

    @property
    def channels(self) -> int | None:
        """C, if a table has a column for every channel; else None."""
        return self._size(1, "channels")

    def _size(self, dim: int, what: str) -> int | None:
        sizes = {n: table.shape[dim] for n, table in self.tables() if isinstance(table, Tensor) and table.ndim == 2}
        found = {name: size for name, size in sizes.items() if size != 1}
        if len(set(found.values())) > 1:
            raise ValueError(f"the tables of a folded neuron must have one number of {what}, got {found}")
        return next(iter(found.values()), None)

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Yield the tables, by name."""
        return ((name, table) for name in TABLES if (table := getattr(self, name)) is not None)

    def with_tables(self, **tables: Any) -> FoldedNeuron:
        """Return a copy with some tables replaced, unchecked: a check would wait for a GPU."""
        made = copy.copy(self)
        for name, table in tables.items():
            object.__setattr__(made, name, table)
        return made

    def steps(self, first: int, last: int) -> FoldedNeuron:
        """Return the neuron of the steps from ``first`` up to, but not including, ``last``.

        Raises:
            ValueError: if there are no such steps.
        """
        if self.num_steps is None:
            return self
        if last > self.num_steps:
            raise ValueError(
                f"the folded neurons have {self.num_steps} time steps (0-{self.num_steps - 1}), got t={last - 1}: "
                f"fold a network of num_steps={last}, or stop earlier"
            )
        rows = {n: table[first:last] for n, table in self.tables() if isinstance(table, Tensor) and len(table) > 1}
        return self.with_tables(**rows)


AnyNeuron = Neuron | FoldedNeuron


def folded_sequence(
    current: Float[Tensor, "S B C *space"],
    membrane: Float[Tensor, "B C *space"] | None,
    neuron: FoldedNeuron,
    first: int = 0,
) -> tuple[Float[Tensor, "S B C *space"], Float[Tensor, "B C *space"]]:
    """Run some steps of neurons whose constants vary with the step.

    For ``fire_after`` and a soft reset: ``m_t = λ_t u_{t-1} + g_t y_t + b_t, o_t = [m_t > θ_t], u_t = m_t - a_t o_t``;
    ``[m_t < θ_t]`` where turned. Backward, ``do/dm = ± slope_t surrogate(m_t/θ_t - 1)``, minus where turned; the reset
    is a constant. ``fire_before`` and ``hard_reset`` are those of :mod:`bntt.ops.lif`, with each step's own constants.

    Args:
        current: y, ``[S, B, C, ...]``; the tables are converted to its dtype.
        membrane: u after the previous step, ``[B, C, ...]``; None is rest.
        neuron: the constants, by step and channel.
        first: the neuron's step at which the current begins, 0-based.

    Returns:
        ``(spikes [S, B, C, ...], membrane [B, C, ...])``.

    Raises:
        ValueError: if the neuron has fewer steps, or another number of channels.

    >>> neuron = FoldedNeuron(leak=1.0, threshold=torch.tensor([[1.0], [-1.0]]), turned=torch.tensor([[False], [True]]))
    >>> spikes, membrane = folded_sequence(torch.tensor([[[0.5]], [[-2.0]]]), None, neuron)
    >>> spikes.flatten(), membrane
    (tensor([0., 1.]), tensor([[-0.5000]]))
    """
    if neuron.channels not in (None, current.shape[2]):
        raise ValueError(f"the folded neurons have {neuron.channels} channels, the current has {current.shape[2]}")
    neuron = neuron.steps(first, first + len(current))
    spikes, membrane = [], torch.zeros_like(current[0]) if membrane is None else membrane
    drive = _shaped(neuron.gain, current) * current + _shaped(neuron.bias, current)
    for y, cell in zip(drive.unbind(0), _cells(neuron, current), strict=True):
        fired, membrane = neuron.rule(y, membrane, cell)
        spikes.append(fired)
    return torch.stack(spikes), membrane


class _Cell(NamedTuple):
    """A folded neuron in one step."""

    leak: Tensor
    threshold: Tensor
    amount: Tensor
    sign: Tensor
    slope: Tensor
    reset: Reset
    surrogate: Surrogate

    def fire(self, potential: Tensor) -> Tensor:
        """Return spikes; turned neurons flip both signs, ``-m > -θ`` for ``m < θ``, and the derivative's sign."""
        return fire(self.sign * potential, self.sign * self.threshold, self._scaled)

    def _scaled(self, v: Tensor) -> Tensor:
        return self.slope * self.surrogate(v)

    def after(self, membrane: Tensor, spikes: Tensor) -> Tensor:
        return self.reset(membrane, spikes.detach(), self.amount)  # type: ignore[arg-type]


def _cells(neuron: FoldedNeuron, current: Tensor) -> Iterator[_Cell]:
    sign = 1 - 2 * torch.as_tensor(neuron.turned, dtype=current.dtype)
    amount = neuron.threshold if neuron.amount is None else neuron.amount
    tables = [_shaped(t, current) for t in (neuron.leak, neuron.threshold, amount, sign, neuron.slope)]
    rows = (table.expand(len(current), *table.shape[1:]).unbind(0) for table in tables)
    for leak, threshold, taken, own, slope in zip(*rows, strict=True):
        yield _Cell(leak, threshold, taken, own, slope, neuron.reset, neuron.surrogate)


def _shaped(table: Table, current: Tensor) -> Tensor:
    """Return a table as ``[S or 1, 1, C or 1, ...]``, to be broadcast with a current."""
    rows = torch.as_tensor(table, dtype=current.dtype, device=current.device)
    return rows.reshape(len(rows) if rows.ndim else 1, 1, -1, *[1] * (current.ndim - 3))


def _check_kind(name: str, table: Table) -> None:
    """Refuse anything but a number or a table of numbers; for ``turned``, of bools."""
    if isinstance(table, Tensor):
        fits = table.ndim == 2 and table.numel() > 0
        if not fits or not (table.dtype == torch.bool if name == "turned" else table.is_floating_point()):
            kind, got = "bools" if name == "turned" else "floats", f"{table.dtype} {list(table.shape)}"
            raise ValueError(f"{name} must be one of the {kind} or [T, C], [T, 1] or [1, C] of them, got {got}")


def _refuse(name: str, table: Table, wrong: Tensor, why: str) -> None:
    """Raise with the position of the first wrong value."""
    if not wrong.any():
        return
    place = wrong.nonzero()[0].tolist()
    value = torch.as_tensor(table).expand_as(wrong)[tuple(place)].item()
    where = " at step {}, channel {}".format(*place) if place else ""
    raise ValueError(f"{name} {why}, got {value:.4g}{where}")

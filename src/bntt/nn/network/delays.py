"""Delay of each layer in steps: how long it is silent because of the firing rule, which is no fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from bntt.nn.blocks import Residual
from bntt.nn.kinds import neuron_facts
from bntt.nn.network.spiking_network import SpikingNetwork


@dataclass(frozen=True)
class Delay:
    """The number of steps by which a layer lags."""

    before: int
    """Number of steps after which it is fully driven."""
    own: int
    """Number of steps by which its neurons respond late: 0 for ``fire_after``, 1 for ``fire_before``."""
    after: int
    """Number of steps that its spikes take to reach the readout, on the shortest path."""

    @property
    def needed(self) -> int:
        """The number of steps that the layer needs to affect the readout."""
        return self.before + self.own + self.after + 1

    def driven(self, num_steps: int) -> range:
        """Return the steps whose current is not silent by rule and reaches the readout: their γ gets a gradient."""
        return range(self.before, max(self.before, num_steps - self.own - self.after))

    def reaching_readout(self, num_steps: int) -> range:
        """Return the steps in which it should fire and its spikes reach the readout."""
        first = self.before + self.own
        return range(first, max(first, num_steps - self.after))


def delays(network: SpikingNetwork) -> dict[str, Delay]:
    """Compute the delay of every layer, by its name in ``network.layers``.

    The sum of a :class:`~bntt.nn.Residual` arrives with the first of its parts; but neurons ``after`` it wait for the
    last part, since a spike of the shortcut alone may not make them fire. Layers of custom blocks count as consecutive.
    """
    return dict(_in_order(dict(network.blocks.items()), 0, 0))


def _in_order(parts: Mapping[str, Any], before: int, after: int) -> Iterator[tuple[str, Delay]]:
    """Yield the delays of layers in consecutive parts, given the delays before and after these."""
    after += _through(parts)
    for name, part in parts.items():
        after -= _through({name: part})
        inside = list[tuple[str, Delay]]()
        if type(part) is Residual:
            last = _last(part)
            for side in (part.body, part.shortcut):
                inside += _in_order(dict(side.items()), before, after + _through(last))
            there = _through({name: part}, waiting=True) - _through(last, waiting=True)
            inside += _in_order(last, before + there, after)
        else:
            owns = [_of_neurons(layer.lif) for layer in part.layers]
            for number, layer in enumerate(part.layers):
                delay = Delay(before + sum(owns[:number]), owns[number], after + sum(owns[number + 1 :]))
                inside.append((layer.name, delay))
        yield from ((f"{name}.{inner}".rstrip("."), delay) for inner, delay in inside)
        before += _through({name: part}, waiting=True)


def _through(parts: Mapping[str, Any], *, waiting: bool = False) -> int:
    """Return the delay of consecutive parts: on the shortest path; or, if waiting as neurons do, for all of a sum."""
    found = 0
    for part in parts.values():
        if type(part) is Residual:
            sides = [_through(dict(side.items()), waiting=waiting) for side in (part.body, part.shortcut)]
            found += max(sides) if waiting and part.after is not None else min(sides)
            found += _through(_last(part), waiting=waiting)
        else:
            found += sum(_of_neurons(layer.lif) for layer in part.layers)
    return found


def _last(block: Residual) -> dict[str, nn.Module]:
    return {} if block.after is None else {"after": block.after}


def _of_neurons(lif: nn.Module | None) -> int:
    return int(lif is not None and neuron_facts(lif).waits)


def rule_of(lif: nn.Module) -> object:
    """Return the firing rule of neurons; None if they have none."""
    return getattr(getattr(lif, "neuron", None), "rule", None)

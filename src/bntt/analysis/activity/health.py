"""Faults of a network's layers: dead, silent, saturated or idle ones, and running variances that have collapsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from bntt.analysis.accuracy.evaluation import Activity
from bntt.analysis.activity.measurement import Finding
from bntt.nn.kinds import norm_facts
from bntt.nn.network.delays import Delay, delays, rule_of
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.ops.lif import fire_before

SATURATED = 0.95
"""Spikes per neuron and step above which a layer says little about its input."""
MANY = 0.1
"""Share of a layer's channels above which channels that never fired are reported."""


def health(activity: Activity, network: SpikingNetwork) -> tuple[Finding, ...]:
    """Return the faults of a network's layers, found from its spikes, in layer order.

    Silence that the firing rule explains is not a fault. With ``fire_before``, hidden layer l of L, from 1, is silent
    in its first l steps, its spikes in the last L - l steps never reach the readout, and running variances of steps
    without drive collapse (:mod:`bntt.nn.network.delays`).

    Running variances are those that the network has now. A variance collapses if training always brings its channel the
    same current, for example none: any later deviation is multiplied by up to ``γ / √ε``.

    Args:
        activity: spike counts, for example ``evaluate(...).activity``.
        network: the network that they were counted in.

    Raises:
        ValueError: if the layers of the activity are not those of the network.

    >>> import torch
    >>> from bntt.models import mlp
    >>> network = mlp(hidden=(2, 2), num_steps=3)
    >>> ones, none = torch.ones(3, 2), torch.zeros(3, 2)
    >>> activity = Activity(4, {"fc1": ones, "fc2": none}, {"fc1": 2, "fc2": 2})
    >>> [(found.layer, found.kind, found.steps) for found in health(activity, network)]
    [('fc2', 'dead', (0, 1, 2))]
    """
    spiking = [name for name, layer in network.layers.items() if layer.lif is not None]
    if spiking != list(activity.spikes):
        raise ValueError(f"the activity is of layers {list(activity.spikes)}, the network has {spiking}")
    late, found, dead = delays(network), list[Finding](), ""
    for name, layer in network.layers.items():
        if layer.lif is not None:
            if activity.spikes[name].any():
                found += _of_spikes(name, activity, late[name], layer.norm)
            else:
                steps = len(activity.spikes[name])
                by_rule = rule_of(layer.lif) is fire_before and late[name].needed > steps
                needed = max(delay.needed for delay in late.values()) if by_rule else 0
                found.append(_dead(name, steps, needed, dead, layer.norm))
                dead = dead or name
        if norm_facts(layer.norm).running_statistics:
            found += _collapsed(name, layer.norm, late[name])
    return tuple(found)


def _dead(name: str, steps: int, needed: int, before: str, norm: nn.Module | None) -> Finding:
    if before:
        why = f"never fires either: layer {before} comes before it, fix that layer first"
    elif needed:
        why = (
            f"never fires, perhaps for lack of steps: neurons that fire before they integrate answer a step later "
            f"in every layer; take num_steps={needed} or more in place of {steps}, or fire='after'"
        )
    else:
        why = f"never fires: the weights that its spikes meet get no gradient; {_more_spikes(norm)}"
    return Finding(layer=name, kind="dead", steps=tuple(range(steps)), share=1.0, text=f"layer {name} {why}")


def _of_spikes(name: str, activity: Activity, late: Delay, norm: nn.Module | None) -> Iterator[Finding]:
    counts, rate = activity.spikes[name], activity.rate(name)
    steps, effective = len(counts), late.reaching_readout(len(counts))
    if silent := tuple(t for t in effective if not counts[t].any()):
        way = "fewer steps may be enough" if silent == tuple(effective)[-len(silent) :] else _more_spikes(norm)
        what = f"layer {name} is silent at {spans(silent)}, where it could fire: {way}"
        yield Finding(layer=name, kind="silent", steps=silent, share=len(silent) / steps, text=what)
    if full := tuple(t for t in range(steps) if rate[t] > SATURATED):
        way = "give it a norm, or raise its threshold" if norm_facts(norm).identity else "raise its threshold"
        what = (
            f"{max(rate[list(full)]):.1%} of the neurons of layer {name} fire at {spans(full)}, which says little "
            f"about the input: {way}"
        )
        yield Finding(layer=name, kind="saturated", steps=full, share=len(full) / steps, text=what)
    idle = int((counts.sum(0) == 0).sum())
    if (share := idle / counts.shape[1]) >= MANY:
        never = f"{idle} of the {counts.shape[1]} channels of layer {name} never fire"
        what = f"{never}: {_more_spikes(norm)}, or make the layer narrower"
        yield Finding(layer=name, kind="idle", steps=tuple(range(steps)), share=share, text=what)


def _more_spikes(norm: nn.Module | None) -> str:
    if norm_facts(norm).identity:
        return "give it a norm, or lower its threshold"
    return "lower its threshold, the weight decay of γ, or the learning rate"


def _collapsed(name: str, norm: Any, late: Delay) -> Iterator[Finding]:
    var = norm.running_var
    low, every = var < norm.eps, range(norm.num_steps)
    if not norm.method.shared_running:
        driven = late.driven(norm.num_steps)
        low = low & torch.tensor([t in driven for t in every], device=var.device)[:, None]
    if not low.any():
        return
    gains = norm.gains()
    largest = float(gains[low.expand_as(gains)].max())
    pairs, rows = int(low.sum()), low.any(1).tolist()
    steps = tuple(every) if norm.method.shared_running else tuple(t for t in every if rows[t])
    of = "channels" if norm.method.shared_running else f"(step, channel) pairs, at {spans(steps)}"
    what = (
        f"layer {name} always got the same current in training in {pairs} of {var.numel()} {of}: any deviation would "
        f"be multiplied by up to {largest:.3g}"
    )
    yield Finding(layer=name, kind="collapsed", steps=steps, share=pairs / var.numel(), text=what)


def spans(steps: Iterable[int]) -> str:
    """Format ascending steps, given from 0, as ranges counted from 1.

    >>> spans([0, 1, 2, 5])
    'steps 1-3, 6'
    """
    found: list[list[int]] = []
    for step in (t + 1 for t in steps):
        if found and step == found[-1][-1] + 1:
            found[-1][1:] = [step]
        else:
            found.append([step])
    more = ", ..." if len(found) > MOST_SPANS else ""
    what = "step " if [len(span) for span in found] == [1] else "steps "
    return what + ", ".join("-".join(map(str, span)) for span in found[:MOST_SPANS]) + more


MOST_SPANS = 4
"""Largest number of ranges in a line."""

"""Spikes by layer, step and class (paper Fig. 1C and 5, Supp. D), also before training; faults of layers and input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from bntt.analysis.accuracy import spans
from bntt.analysis.accuracy.evaluation import FIRST_DRAW, Activity, add_to, advance_batch, check_labels, presented
from bntt.analysis.activity import Finding
from bntt.nn.call import evaluating
from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_answers, check_classifier
from bntt.nn.network.delays import Delay, delays, rule_of
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.measured import Measure, joined
from bntt.nn.network.spiking_network import STEPS_AT_ONCE, SpikingNetwork
from bntt.nn.norms import batch_statistics
from bntt.ops.lif import fire_before

SATURATED = 0.95
"""Spikes per neuron and step above which a layer says little about its input."""
MANY = 0.1
"""Share of a layer's channels above which channels that never fired are reported."""
Fault = tuple[Any, Iterable[int], float, str]
"""Kind, steps, share and text of a finding."""


@dataclass(frozen=True)
class ClassActivity:
    """Spikes of every layer and step, by channel and by class."""

    total: Activity
    by_class: dict[str, Float[Tensor, "K T"]]
    """Mean over the images of a class and the draws, by layer and step."""


@torch.no_grad()
def class_activity(
    model: SpikingClassifier,
    batches: Loader,
    classes: int,
    *,
    seed: int = 0,
    draws: int = 1,
    progress: Callable[[int], None] = lambda samples: None,
) -> ClassActivity:
    """Return the spike counts of every layer by class, in evaluation mode; the model is left unchanged.

    Args:
        model, batches, seed, draws, progress: as :func:`~bntt.analysis.evaluate`'s, with the same noise.
        classes: the number of classes, K.

    Raises:
        ValueError: if there are no samples, a label is not a class, or draws is below 1.
        NonFiniteError: if a weight or a statistic is not finite.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> class_activity(model, loader, classes=10).by_class["fc1"].shape
    torch.Size([10, 2])
    """
    check_classifier(model, "class_activity() takes")
    measure, shown = Measure(spikes=True, samples=True), torch.zeros(classes, dtype=torch.int64)
    spikes, by_class, neurons = dict[str, Tensor](), dict[str, Tensor](), dict[str, int]()
    with evaluating(model):
        for _, inputs, labels, noise in presented(model, batches, "count spikes of", seed, draws, progress):
            check_labels(labels, classes)
            shown += labels.cpu().bincount(minlength=classes)
            steps = advance_batch(model, inputs, measure, noise)
            for name, layer in joined([found for _, found, _ in steps]).items():
                if layer.spikes is None or layer.samples is None:
                    continue
                neurons[name] = layer.neurons
                add_to(spikes, name, layer.spikes)
                own = layer.samples.new_zeros(classes, len(layer.samples))
                add_to(by_class, name, own.index_add_(0, labels.to(own.device, torch.int64), layer.samples.T))
    total, each = int(shown.sum()), shown.clamp(min=1)[:, None]
    return ClassActivity(
        Activity(total, {name: counts.cpu() for name, counts in spikes.items()}, neurons),
        {name: counts.cpu() / each for name, counts in by_class.items()},
    )


@torch.no_grad()
def untrained_activity(
    model: SpikingClassifier,
    inputs: Tensor,
    *,
    index: Integer[Tensor, " B"] | None = None,
    seed: int = 0,
    draw: int = FIRST_DRAW,
) -> Activity:
    """Return the spikes of one batch, normalised by its own statistics as in training; all else as in evaluation.

    The model is left unchanged. Custom norms that are not a :class:`~bntt.nn.TemporalNorm` stay in evaluation mode.
    With ``Compute(reduce=)``, call it in every process.

    Args:
        model: the classifier.
        inputs: two samples or more, as the encoder takes them.
        index, seed, draw: identify the noise, see :class:`~bntt.nn.SpikingClassifier`.

    Raises:
        ValueError: if a statistic would be taken over a single value.

    >>> import torch
    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(6), mlp(in_features=4, hidden=(8,), num_steps=6))
    >>> untrained_activity(model, torch.rand(3, 1, 2, 2)).spikes["fc1"].shape
    torch.Size([6, 8])
    """
    check_answers(model, "untrained_activity() takes")
    total = model.encoder.num_steps
    at_once = total if any(norm_facts(part).looks_ahead for part in model.modules()) else STEPS_AT_ONCE
    parts, state = [], None
    with batch_statistics(model):
        for first in range(0, total, at_once):
            steps = min(at_once, total - first)
            _, state = model.advance(
                inputs, state, steps=steps, measure=Measure(spikes=True), seed=seed, index=index, draw=draw
            )
            parts.append(state.measured or {})
    found = joined(parts)
    spikes = {name: layer.spikes.cpu() for name, layer in found.items() if layer.spikes is not None}
    return Activity(len(inputs), spikes, {name: found[name].neurons for name in spikes})


def spikes_of_layer(total: Activity, name: str, delay: Delay) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
    """Return the fields of a layer's record, and the columns of its steps, that come from its spikes.

    The peak is one of the steps, from 1, that reach the readout; None if it never fires there.
    """
    counts, rate = total.spikes[name], total.rate(name)
    peak = max(delay.reaching_readout(len(counts)), key=rate.__getitem__, default=None)
    columns: dict[str, Sequence[Any]] = {
        "step": range(1, len(counts) + 1),
        "spikes_per_image": (counts.sum(1) / total.presentations).tolist(),
        "firing_rate": rate.tolist(),
    }
    layer = {"neurons": total.neurons[name], "channels": counts.shape[1], "spike_rate": total.spike_rate(name)}
    return layer | {"peak_step": None if peak is None or not rate[peak] else peak + 1}, columns


def health(activity: Activity, network: SpikingNetwork) -> tuple[Finding, ...]:
    """Return the faults of a network's layers, found from its spikes, in layer order.

    Silence before a layer's first spike, or that the firing rule explains (:mod:`bntt.nn.network.delays`), is no fault.
    A running variance collapses if training always brings its channel the same current: any later deviation is
    multiplied by up to ``γ / √ε``.

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
        facts, counts, faults = norm_facts(layer.norm), activity.spikes.get(name), list[Fault]()
        more = "lower its threshold, the weight decay of γ, or the learning rate"
        more = "give it a norm, or lower its threshold" if facts.identity else more
        if counts is not None and counts.any():
            faults += _of_spikes(counts, activity.rate(name), late[name], more)
        elif counts is not None and layer.lif is not None:
            why = f": {more}"
            if dead:
                why = f" either: layer {dead} comes before it, fix that layer first"
            elif rule_of(layer.lif) is fire_before and late[name].needed > len(counts):
                needed = max(delay.needed for delay in late.values())
                why = f", for lack of steps: take num_steps={needed} or more, or fire='after'"
            faults.append(("dead", range(len(counts)), 1.0, f"never fires{why}"))
            dead = dead or name
        if facts.running_statistics:
            faults += _collapsed(layer.norm, late[name])
        found += [
            Finding(layer=name, kind=kind, steps=tuple(steps), share=share, text=f"layer {name} {text}")
            for kind, steps, share, text in faults
        ]
    return tuple(found)


def _of_spikes(counts: Tensor, rate: Tensor, late: Delay, more: str) -> Iterator[Fault]:
    steps, channels = counts.shape
    effective = late.reaching_readout(steps)
    first = int(counts.any(1).nonzero()[0])  # until then it integrates: latency, not a fault
    if silent := [t for t in effective if t > first and not counts[t].any()]:
        way = "fewer steps may be enough" if silent == [*effective][-len(silent) :] else more
        yield "silent", silent, len(silent) / steps, f"is silent at {spans(silent)}, where it could fire: {way}"
    if full := [t for t in range(steps) if rate[t] > SATURATED]:
        what = f"fires at {spans(full)} in up to {max(rate[full]):.1%} of its neurons: raise its threshold"
        yield "saturated", full, len(full) / steps, what
    if (idle := int((counts.sum(0) == 0).sum())) >= MANY * channels:
        what = f"never fires in {idle} of its {channels} channels: {more}, or make it narrower"
        yield "idle", range(steps), idle / channels, what


def _collapsed(norm: Any, late: Delay) -> Iterator[Fault]:
    low, steps, shared = norm.running_var < norm.eps, range(norm.num_steps), norm.method.shared_running
    if not shared:
        driven = late.driven(norm.num_steps)
        low = low & torch.tensor([t in driven for t in steps], device=low.device)[:, None]
    if low.any():
        gains = norm.gains()
        every = steps if shared else low.any(1).nonzero().flatten().tolist()
        of = "channels" if shared else f"(step, channel) pairs, at {spans(every)}"
        count, gain = int(low.sum()), float(gains[low.expand_as(gains)].max())
        what = f"always got one current in {count} of {low.numel()} {of}: deviations are multiplied by up to {gain:.3g}"
        yield "collapsed", every, count / low.numel(), what

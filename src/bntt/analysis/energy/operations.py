"""Synaptic operations, counted from the actual spikes, and those of an ANN of the same architecture.

One spike that meets one weight is one operation. A spike at an image's border meets fewer weights than one inside
(:func:`~bntt.analysis.energy.plan.fan_out`), and so does an input of the ANN. Weights that are 0 count; dropout is
off.

Not counted: pooling itself, the sums of residual blocks, the encoder's random numbers, and memory: every access costs
more than the arithmetic on the data it brings. Neuron operations (norm, leak and reset) are reported separately
(:class:`~bntt.analysis.energy.plan.Updates`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.accuracy.batches import ExitRule, advance_batch
from bntt.analysis.accuracy.evaluation import add_to, check_labels, check_logits, counted, presented
from bntt.analysis.energy.plan import READOUT, PlannedLayer, Updates, plan_layers, reach_of, updates_of
from bntt.analysis.energy.result import WeightOperations
from bntt.nn.blocks.stage import SpikingLayer
from bntt.nn.kinds import encoder_facts
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.measured import Arrivals, LayerMeasures, Measure, Measured, evaluating, joined

InputKind = Literal["spikes", "counts", "analog", "nothing"]
"""The input of a layer's weights: single spikes, of either sign; counts of spikes, after an average or a sum; real
numbers; or nothing, if there are no weights."""
Price = Literal["spikes", "values"]
"""Pricing of counts: every spike in them as an addition, or every value as a multiply-accumulate."""


@dataclass(frozen=True)
class LayerOperations:
    """The operations of one layer for one image, on average; by step if ``[T]``."""

    arrives: InputKind
    events: Float64[Tensor, " T"]
    """Σ spikes × the weights that they meet; 0 for real numbers."""
    active: Float64[Tensor, " T"]
    """Σ values that are not 0 × the weights that they meet."""
    dense: int
    """Σ values × the weights that they meet: the multiply-accumulates of an ANN, in its one pass."""
    spikes: Float64[Tensor, " T"]
    """Spikes of its own neurons."""
    neurons: int
    updates: Updates

    def synaptic(self, steps: int | None = None, price: Price = "spikes") -> WeightOperations:
        """Count the operations of its weights in the first ``steps`` steps; all by default.

        Single spikes are always added, and real numbers always multiplied.
        """
        events, active = float(self.events[:steps].sum()), float(self.active[:steps].sum())
        if self.arrives == "analog" or (self.arrives == "counts" and price == "values"):
            return WeightOperations(additions=0, macs=active)
        return WeightOperations(additions=events, macs=0)


@dataclass(frozen=True)
class Operations:
    """Operation counts, layer by layer, the readout last; returned by :func:`count_operations`."""

    accuracy: Accuracy
    """Accuracy of the same presentations."""
    layers: dict[str, LayerOperations]
    """Counts by layer."""
    constant_input: bool
    """True if the input is the same at every step, so that the first layer's current can be computed once."""
    frames: int = 0
    """Number of frames or rows of a sample, of which a step shows one and an ANN reads each; 0 for an image."""

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.accuracy.correct[0])

    @property
    def ann_inputs(self) -> int:
        """Number of inputs that an ANN of the same architecture reads for one sample."""
        return self.frames or 1

    @property
    def ann_updates(self) -> int:
        """Additions of an ANN of the same architecture outside its weights, for one sample."""
        return self.ann_inputs * sum(layer.updates.ann for layer in self.layers.values())

    @property
    def ann_macs(self) -> int:
        """Multiply-accumulates of an ANN of the same architecture, for one sample."""
        return self.ann_inputs * self.dense

    @property
    def dense(self) -> int:
        """Multiply-accumulates of all weights for one input: none of its values is assumed to be 0."""
        return sum(layer.dense for layer in self.layers.values())

    def synaptic(
        self, steps: int | None = None, price: Price = "spikes", *, input_once: bool = False
    ) -> WeightOperations:
        """Return the operations of all weights for one image that stops after ``steps`` steps; all T by default.

        Args:
            price: pricing of a pooled count.
            input_once: True to compute the current of a constant input only once.
        """
        self.check_steps(steps)
        first, *others = self.layers.values()
        found = [first.synaptic(1 if input_once and self.constant_input else steps, price)]
        found += [layer.synaptic(steps, price) for layer in others]
        return WeightOperations(additions=sum(one.additions for one in found), macs=sum(one.macs for one in found))

    def spikes(self, steps: int | None = None) -> float:
        """Return the spikes of all neurons for one image that stops after ``steps`` steps, without the input's."""
        self.check_steps(steps)
        return sum(float(layer.spikes[:steps].sum()) for layer in self.layers.values())

    def check_steps(self, steps: int | None) -> None:
        """Refuse a number of ``steps`` that is not 1 to T.

        Raises:
            ValueError: below 1, or above T.
        """
        if steps is not None and not 1 <= steps <= self.num_steps:
            raise ValueError(f"steps must be 1 to {self.num_steps}, as the network has, got {steps}")


@torch.no_grad()
def count_operations(
    model: SpikingClassifier,
    batches: Loader,
    *,
    seed: int = 0,
    draws: int = 1,
    leaves: ExitRule | None = None,
    progress: Callable[[int], None] = lambda samples: None,
) -> Operations:
    """Return the operations per sample, each shown ``draws`` times, in evaluation mode; the model is left unchanged.

    Args:
        model, seed, draws: as :func:`~bntt.analysis.evaluate`'s.
        batches: as for :func:`~bntt.analysis.evaluate`, with the same noise for the samples.
        leaves: takes the logits ``[B, K]`` of the remaining samples after a step, and returns which leave now, ``[B]``:
            nothing is counted for them from then on, and their answer stays. By default no sample leaves early.
        progress: called after every batch, with its number of samples.

    Raises:
        TypeError: if the effect of a part of the network on spikes is unknown.
        ValueError: if there are no samples, labels are not classes, or the values after spikes are not whole spikes.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500)
    >>> count_operations(model, loader).dense == 784 * 16 + 16 * 10
    True
    """
    check_classifier(model, "count_operations() takes")
    total, hits = _Total(), dict[int, Tensor]()
    with evaluating(model):
        for number, inputs, labels, noise in presented(model, batches, "count", seed, draws, progress):
            logits, shape, measured = _run_batch(model, inputs, leaves, noise)
            check_labels(labels, logits.shape[2])
            check_logits(logits)
            add_to(hits, number, (logits.argmax(2).cpu() == labels.cpu()).sum(1))
            total.add(measured, shape, len(labels))
    accuracy = counted(hits, total.samples // draws)
    facts = encoder_facts(model.encoder)
    frames = 0 if facts.takes == "images" else model.encoder.num_steps
    return Operations(accuracy, dict(_layers(model, total)), facts.constant, frames)


class _Total:
    """Measurements of all batches."""

    def __init__(self) -> None:
        self.samples, self.shape = 0, torch.Size()
        self.arrived: dict[str, Arrivals] = {}
        self.spikes: dict[str, Tensor] = {}
        self.neurons: dict[str, int] = {}

    def add(self, measured: Mapping[str, LayerMeasures], shape: torch.Size, samples: int) -> None:
        self.samples, self.shape = self.samples + samples, shape
        for name, layer in measured.items():
            self.neurons[name] = layer.neurons
            if layer.spikes is not None:
                add_to(self.spikes, name, layer.spikes.sum(1))
            if layer.arrivals is not None:
                add_to(self.arrived, name, layer.arrivals)


def _run_batch(
    model: SpikingClassifier, inputs: Tensor, leaves: ExitRule | None, noise: Mapping[str, Any]
) -> tuple[Tensor, torch.Size, Mapping[str, LayerMeasures]]:
    """Return the logits of every step, the shape of the network's input in one step, and the measurements."""
    total = model.encoder.num_steps
    shape = model.encoder(inputs[:1], **{**noise, "index": noise["index"][:1]}, steps=range(1)).shape[2:]
    readout = {READOUT: SpikingLayer(READOUT, model.network.readout, None, None)}
    logits, parts = list[Tensor](), list[Measured]()
    measure = Measure(spikes=True, arrivals=True)
    for part in advance_batch(model, inputs, measure, noise, leaves=leaves, unlisted=readout):
        answers = part.logits
        if logits:  # samples that have left keep their last answer
            answers = logits[-1][-1:].repeat(len(part.logits), 1, 1).index_copy(1, part.there, part.logits)
        logits.append(answers)
        parts.append(part.measured)
    missing = total - sum(map(len, logits))
    logits += [logits[-1][-1:]] * missing
    parts += [_empty_step(parts[-1])] * missing
    return torch.cat(logits), shape, joined(parts)


def _empty_step(part: Measured) -> Measured:
    """Return the measurements of a step in which no sample remains."""
    return {
        name: replace(
            layer,
            spikes=None if layer.spikes is None else 0 * layer.spikes[:1],
            arrivals=None
            if layer.arrivals is None
            else Arrivals(0 * layer.arrivals.amount[:1], 0 * layer.arrivals.active[:1], layer.arrivals.sizes),
        )
        for name, layer in part.items()
    }


def _layers(model: SpikingClassifier, total: _Total) -> Iterator[tuple[str, LayerOperations]]:
    arrived, steps = total.arrived, model.encoder.num_steps
    first = next(iter(arrived.values()))
    spikes = first.are_whole(1) and bool((first.amount == first.active).all())  # all have size 1
    planned = plan_layers(model.network, total.shape, Fraction(1) if spikes else None)
    none = torch.zeros(steps, dtype=torch.float64)
    for name, layer in planned.items():
        own = total.spikes.get(name)
        fired = none if own is None else own.cpu() / total.samples
        mine = fired, total.neurons[name], updates_of(layer, spikes=fired)
        if layer.weights is None:
            yield name, LayerOperations("nothing", none, none, 0, *mine)
            continue
        reach, dense = reach_of(layer.weights, layer.into)
        active = (arrived[name].active.cpu() * reach).sum((1, 2)).double() / total.samples
        arrives, events = _events(name, layer, arrived[name])
        events = (events * reach).sum((1, 2)) / total.samples
        yield name, LayerOperations(arrives, events, active, dense, *mine)


def _events(name: str, layer: PlannedLayer, arrived: Arrivals) -> tuple[InputKind, Tensor]:
    """Return the kind of input of a layer, and the spikes in it by step and place."""
    worth, amount, active = layer.into.worth, arrived.amount.cpu(), arrived.active.cpu()
    if worth is None:
        return "analog", torch.zeros_like(amount)
    if not arrived.are_whole(float(worth)):
        raise ValueError(f"what arrives at layer {name!r} is not whole spikes: its input's neurons gave other values")
    events = (amount / float(worth)).round()
    return ("spikes" if worth == 1 and torch.equal(events, active.double()) else "counts"), events

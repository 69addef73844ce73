"""Synaptic operations, counted from the actual spikes, and those of an ANN of the same architecture.

One spike that meets one weight is one operation: fewer at an image's border, also of the ANN
(:func:`~bntt.analysis.energy.plan.fan_out`). Weights that are 0 count; dropout is off. The work of norms and neurons is
separate (:class:`~bntt.analysis.energy.plan.Updates`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.accuracy.batches import ExitRule, advance_batch
from bntt.analysis.accuracy.evaluation import add_to, check_labels, check_logits, counted, presented
from bntt.analysis.energy.costs import LayerRow
from bntt.analysis.energy.measurement import NeuroBench, SynapticOperations, WeightOperations
from bntt.analysis.energy.plan import READOUT, PlannedLayer, Updates, fan_out, plan_layers, updates_of
from bntt.analysis.measurement import ArgumentError, Opened, Split
from bntt.nn.blocks.stage import SpikingLayer
from bntt.nn.kinds import encoder_facts
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.measured import Arrivals, Measure, evaluating, joined

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
        """Count the operations of its weights in the first ``steps`` steps; all by default."""
        if self.arrives == "analog" or (self.arrives == "counts" and price == "values"):
            return WeightOperations(additions=0, macs=float(self.active[:steps].sum()))
        return WeightOperations(additions=float(self.events[:steps].sum()), macs=0)


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
    steps, samples, measure = model.encoder.num_steps, 0, Measure(spikes=True, arrivals=True)
    readout, shape = {READOUT: SpikingLayer(READOUT, model.network.readout, None, None)}, torch.Size()
    hits, spikes = dict[int, Tensor](), dict[str, Tensor]()
    arrived, neurons = dict[str, Arrivals](), dict[str, int]()
    with evaluating(model):
        for draw, inputs, labels, noise in presented(model, batches, "count", seed, draws, progress):
            shape = model.encoder(inputs[:1], **{**noise, "index": noise["index"][:1]}, steps=range(1)).shape[2:]
            logits, parts = list[Tensor](), []
            for part in advance_batch(model, inputs, measure, noise, leaves=leaves, unlisted=readout):
                answers = part.logits
                if logits:  # samples that have left keep their last answer
                    answers = logits[-1][-1:].repeat(len(part.logits), 1, 1).index_copy(1, part.there, part.logits)
                logits.append(answers)
                parts.append(part.measured)
            answers = torch.cat([*logits, *[logits[-1][-1:]] * (steps - sum(map(len, logits)))])
            check_labels(labels, answers.shape[2])
            check_logits(answers)
            add_to(hits, draw, (answers.argmax(2).cpu() == labels.cpu()).sum(1))
            samples += len(labels)
            for name, layer in joined(parts).items():
                neurons[name] = layer.neurons
                if layer.spikes is not None:
                    add_to(spikes, name, _padded(layer.spikes.sum(1), steps))
                if (came := layer.arrivals) is not None:
                    padded = replace(came, amount=_padded(came.amount, steps), active=_padded(came.active, steps))
                    add_to(arrived, name, padded)
    first = next(iter(arrived.values()))
    single = first.are_whole(1) and bool((first.amount == first.active).all())  # all have size 1
    planned, none = plan_layers(model.network, shape, Fraction(1) if single else None), torch.zeros(steps).double()
    found = {
        name: _layer(name, layer, arrived.get(name), spikes.get(name, none).cpu() / samples, neurons[name], samples)
        for name, layer in planned.items()
    }
    facts = encoder_facts(model.encoder)
    return Operations(counted(hits, samples // draws), found, facts.constant, 0 if facts.takes == "images" else steps)


def _padded(counts: Tensor, steps: int) -> Tensor:
    """Append zeros for the steps in which no sample is left."""
    return torch.cat([counts, counts.new_zeros(steps - len(counts), *counts.shape[1:])])


def _layer(
    name: str, layer: PlannedLayer, came: Arrivals | None, fired: Tensor, neurons: int, samples: int
) -> LayerOperations:
    """Count the operations of one layer from what came to its weights, if it has any, and the spikes it fired."""
    updates, none = updates_of(layer, fired), 0 * fired
    if layer.weights is None or came is None:
        return LayerOperations("nothing", none, none, 0, fired, neurons, updates)
    reach, worth, active = fan_out(layer.weights, layer.into.shape), layer.into.worth, came.active.cpu()
    kind: InputKind = "analog"
    events = torch.zeros_like(active, dtype=torch.float64)
    if worth is not None:
        if not came.are_whole(float(worth)):
            raise ValueError(
                f"what arrives at layer {name!r} is not whole spikes: its input's neurons gave other values"
            )
        events = (came.amount.cpu() / float(worth)).round()
        kind = "spikes" if worth == 1 and torch.equal(events, active.double()) else "counts"
    by_event, by_value = ((one * reach).sum((1, 2)).double() / samples for one in (events, active))
    return LayerOperations(kind, by_event, by_value, layer.connections, fired, neurons, updates)


def operations_of(opened: Opened, split: Split, **options: Any) -> Operations:
    """Count the operations of a run; :class:`ArgumentError` if they cannot be counted."""
    try:
        return count_operations(opened.model, opened.loader(split), **options)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{opened.path}: {error}") from None


def layer_rows(found: Operations, steps: int) -> Iterator[LayerRow]:
    """Yield every layer's operations for one image that stops after ``steps`` steps."""
    for name, layer in found.layers.items():
        by_spike, by_value = layer.synaptic(steps, "spikes"), layer.synaptic(steps, "values")
        yield LayerRow(
            steps=steps,
            layer=name,
            input=layer.arrives,
            neurons=layer.neurons,
            spikes=float(layer.spikes[:steps].sum()),
            additions_by_spike=by_spike.additions,
            macs_by_spike=by_spike.macs,
            additions_by_value=by_value.additions,
            macs_by_value=by_value.macs,
            update_additions=float(layer.updates.additions[:steps].sum()),
            update_multiplications=float(layer.updates.multiplications[:steps].sum()),
            ann_macs=found.ann_inputs * layer.dense,
            ann_update_additions=found.ann_inputs * layer.updates.ann,
        )


def neurobench(found: Operations, network: nn.Module, steps: int, *, is_ann: bool) -> NeuroBench:
    """Compute NeuroBench's metrics for one image: ACs are operations of single spikes, MACs those of other values."""
    effective, places = found.synaptic(steps, "values"), steps * sum(layer.neurons for layer in found.layers.values())
    weights = [part.weight for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    return NeuroBench(
        footprint=sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers())),
        connection_sparsity=sum(int((one == 0).sum()) for one in weights) / sum(one.numel() for one in weights),
        activation_sparsity=None if is_ann else 1 - found.spikes(steps) / places if places else 1.0,
        synaptic_operations=SynapticOperations(
            Effective_MACs=effective.macs, Effective_ACs=effective.additions, Dense=found.dense * steps
        ),
        classification_accuracy=found.accuracy.over_time[steps - 1],
    )

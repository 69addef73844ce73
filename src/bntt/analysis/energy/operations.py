"""Synaptic operations, counted from the actual spikes, and those of an ANN of the same architecture.

One spike that meets one weight is one operation: fewer at an image's border, also of the ANN (:func:`fan_out`). Weights
that are 0 count; dropout is off. The work of norms and neurons is separate (:func:`updates_of`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.accuracy.evaluation import (
    ExitRule,
    add_to,
    advance_batch,
    counted,
    first_input,
    presented,
    right_answers,
)
from bntt.analysis.energy import LayerRow, WeightOperations
from bntt.nn.blocks import SpikeDropout, SpikingLayer
from bntt.nn.call import evaluating
from bntt.nn.kinds import block_facts, encoder_facts, neuron_facts, norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.measured import Arrivals, Measure, joined
from bntt.nn.network.spiking_network import SpikingNetwork

READOUT = "readout"
"""Name of the last weights in plans of layers."""
InputKind = Literal["spikes", "counts", "analog", "nothing"]
"""The input of a layer's weights: single spikes, of either sign; counts of spikes, after an average or a sum; real
numbers; or nothing, if there are no weights."""
Price = Literal["spikes", "values"]
"""Pricing of counts: every spike in them as an addition, or every value as a multiply-accumulate."""


class Value(NamedTuple):
    """Values ``(C, H, W)`` or ``(F,)`` of one image and step; a spike's worth is 1/A after an average over A places."""

    shape: tuple[int, ...]
    worth: Fraction | None
    """None if they are not spikes."""


@dataclass(frozen=True)
class PlannedLayer:
    """A layer's weights, if it has any, and its neurons; ``out`` is the shape behind the weights."""

    into: Value
    out: tuple[int, ...]
    weights: nn.Conv2d | nn.Linear | None
    norm: nn.Module | None = None
    lif: nn.Module | None = None

    @property
    def connections(self) -> int:
        """Σ over input values of the weights that each meets: the multiply-accumulates of an ANN in one pass."""
        if self.weights is None:
            return 0
        reach = fan_out(self.weights, self.into.shape)
        return int(reach.sum()) * (math.prod(self.into.shape) // reach.numel())


def plan_layers(network: SpikingNetwork, image: Sequence[int], worth: Fraction | None) -> dict[str, PlannedLayer]:
    """Plan every layer and the readout by name; ``worth`` of the input is 1 for spikes, None for real numbers."""
    if READOUT in network.layers:
        raise ValueError(f"a layer is called {READOUT!r}, as the last weights are: give its block another name")
    why = f"operations can be counted only for a Readout, this one is a {type(network.readout).__name__}"
    _need(block_facts(network.readout).form == "readout", why)
    found: dict[str, PlannedLayer] = {}
    at = _plan_blocks("", network.blocks, Value(tuple(image), worth), found)
    _plan_weights(READOUT, network.readout, at, found)
    return found


def _need(countable: object, why: str) -> None:
    if not countable:
        raise TypeError(why)


def _plan_blocks(under: str, blocks: Any, at: Value, found: dict[str, PlannedLayer]) -> Value:
    for name, block in blocks.items():
        at = _plan_block(f"{under}.{name}".lstrip("."), block, at, found)
    return at


def _plan_block(name: str, block: Any, at: Value, found: dict[str, PlannedLayer]) -> Value:
    form = block_facts(block).form
    if form == "sum":
        body, beside = (_plan_blocks(name, side, at, found) for side in (block.body, block.shortcut))
        at = Value(body.shape, body.worth if body.worth == beside.worth else None)
        return at if block.after is None else _plan_block(f"{name}.after", block.after, at, found)
    way = "build it of SpikingBlock, CurrentBlock, NeuronBlock and Residual"
    _need(form == "layer", f"block {name!r} is a {type(block).__name__}, whose operations cannot be counted: {way}")
    if block.synapse is None:
        found[name] = PlannedLayer(at, at.shape, None, lif=block.lif)
    else:
        at = _plan_weights(name, block, at, found)
    if block.lif is None:
        return at
    kind = type(block.dropout).__name__
    known = block.dropout is None or isinstance(block.dropout, SpikeDropout)
    _need(known, f"block {name!r} has a {kind}, whose operations cannot be counted")
    fired = Value(at.shape, Fraction(1) if neuron_facts(block.lif).spikes else None)
    return _plan_pools(name, _parts(block.pool), fired)


def _plan_weights(name: str, block: Any, at: Value, found: dict[str, PlannedLayer]) -> Value:
    """Pass a value through the weights of a block, and the modules before them."""
    weights: Any
    *before, weights = _parts(block.synapse)
    why = f"the weights of {name!r} end in {type(weights).__name__}: nn.Conv2d or nn.Linear must be last"
    _need(isinstance(weights, nn.Conv2d | nn.Linear), why)
    at = _plan_pools(name, before, at)
    if isinstance(weights, nn.Linear):
        out: tuple[int, ...] = (weights.out_features,)
    else:
        out = (weights.out_channels, *_convolved(weights, torch.empty(at.shape[1:], device="meta")).shape)
    found[name] = PlannedLayer(at, out, weights, getattr(block, "norm", None), getattr(block, "lif", None))
    return Value(out, None)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _parts(part)
    else:
        yield module


def _plan_pools(name: str, pools: Iterable[nn.Module], at: Value) -> Value:
    """Pass a value through modules without weights: in an average, every spike counts as a fraction."""
    for pool in pools:
        if isinstance(pool, nn.Identity):
            continue
        known = isinstance(pool, nn.Flatten | nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d)
        _need(known, f"layer {name!r} has a {type(pool).__name__}, behind which spikes cannot be counted")
        shape, worth = tuple(pool(torch.empty(1, *at.shape, device="meta")).shape[1:]), at.worth
        if worth is not None and isinstance(pool, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            worth /= _area(name, pool, at.shape, shape)
        at = Value(shape, worth)
    return at


def _area(name: str, pool: nn.AvgPool2d | nn.AdaptiveAvgPool2d, into: Sequence[int], out: Sequence[int]) -> int:
    """Return the number of places over which an average is taken."""
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        sides = list(zip(into[1:], out[1:], strict=True))
        area, even = math.prod(n // m for n, m in sides), not any(n % m for n, m in sides)
    elif pool.divisor_override is not None:
        area, even = pool.divisor_override, True
    else:
        kernel, padded = pool.kernel_size, pool.padding not in (0, (0, 0)) and not pool.count_include_pad
        area, even = kernel**2 if isinstance(kernel, int) else math.prod(kernel), not (pool.ceil_mode or padded)
    _need(even, f"layer {name!r} averages over windows of several sizes, behind which spikes cannot be counted")
    return area


def fan_out(weights: nn.Conv2d | nn.Linear, shape: Sequence[int]) -> Int64[Tensor, "H W"]:
    """Count the weights that a value meets at each place of an input ``(C, H, W)``; one of ``(F,)`` has one place."""
    if isinstance(weights, nn.Linear):
        return torch.full(shape[1:] if len(shape) == 3 else (1, 1), weights.out_features)
    with torch.inference_mode(False), torch.enable_grad():
        image = torch.zeros(shape[1:], dtype=torch.float64, requires_grad=True)
        (pairs,) = torch.autograd.grad(_convolved(weights, image).sum(), image)
    return weights.out_channels // weights.groups * pairs.long()


def _convolved(weights: nn.Conv2d, image: Tensor) -> Tensor:
    """Convolve one channel ``[H, W]`` with weights of 1."""
    mode = weights.padding_mode
    _need(mode == "zeros", f"operations can be counted only for convolutions that pad with zeros, this one has {mode}")
    ones = image.new_ones(1, 1, *weights.kernel_size)
    return conv2d(image[None, None], ones, None, weights.stride, weights.padding, weights.dilation)[0, 0]


def macs_of(layers: Iterable[PlannedLayer]) -> int:
    """Count the multiply-accumulates of one sample in one step, including those on padding."""
    return sum(math.prod(one.out) * one.weights.weight[0].numel() for one in layers if one.weights is not None)


def updates_of(
    layer: PlannedLayer, spikes: Float64[Tensor, " T"]
) -> tuple[Float64[Tensor, " T"], Float64[Tensor, " T"], int]:
    """Count the operations of one layer other than those of its weights, given its own spikes by step.

    Returns multiplications, additions, and the additions of an ANN, which has a bias, which includes the norm, and the
    comparison of ReLU.
    """
    biased = layer.weights is not None and layer.weights.bias is not None
    norm = norm_facts(layer.norm)
    multiplications, additions = (0, int(biased)) if norm.identity else norm.operations
    ann, resets = int(biased or additions > 0), 0
    if layer.lif is not None:
        neurons = neuron_facts(layer.lif)
        scales, adds, resets = neurons.operations
        scales += norm.identity and neurons.scales_input
        multiplications, additions, ann = multiplications + scales, additions + adds, ann + 1
    size, none = math.prod(layer.out), spikes * 0
    return none + size * multiplications, none + size * additions + resets * spikes, size * ann


@dataclass(frozen=True)
class LayerOperations:
    """The operations of one layer for one image, on average; by step if ``[T]``.

    ``events``, ``active`` and ``dense`` are Σ spikes, Σ values that are not 0 and Σ values, each times the weights that
    they meet; ``spikes`` are those of its own neurons.
    """

    arrives: InputKind
    events: Float64[Tensor, " T"]
    active: Float64[Tensor, " T"]
    dense: int
    spikes: Float64[Tensor, " T"]
    neurons: int
    update_multiplications: Float64[Tensor, " T"]
    update_additions: Float64[Tensor, " T"]
    ann_updates: int

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
    def dense(self) -> int:
        """Multiply-accumulates of all weights for one input: none of its values is assumed to be 0."""
        return sum(layer.dense for layer in self.layers.values())

    def synaptic(self, steps: int | None = None, price: Price = "spikes") -> WeightOperations:
        """Return the operations of all weights for one image that stops after ``steps`` steps; all T by default.

        Args:
            price: pricing of a pooled count.
        """
        self.check_steps(steps)
        found = [layer.synaptic(steps, price) for layer in self.layers.values()]
        return WeightOperations(additions=sum(one.additions for one in found), macs=sum(one.macs for one in found))

    def spikes(self, steps: int | None = None) -> float:
        """Return the spikes of all neurons for one image that stops after ``steps`` steps, without the input's."""
        self.check_steps(steps)
        return sum(float(layer.spikes[:steps].sum()) for layer in self.layers.values())

    def check_steps(self, steps: int | None) -> None:
        """Raise a ValueError for a number of ``steps`` below 1 or above T."""
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
            shape = first_input(model, inputs, noise).shape[2:]
            logits, parts = list[Tensor](), []
            for answers, measured, there in advance_batch(
                model, inputs, measure, noise, leaves=leaves, unlisted=readout
            ):
                if logits:  # samples that have left keep their last answer
                    answers = logits[-1][-1:].repeat(len(answers), 1, 1).index_copy(1, there, answers)
                logits.append(answers)
                parts.append(measured)
            answers = torch.cat([*logits, *[logits[-1][-1:]] * (steps - sum(map(len, logits)))])
            add_to(hits, draw, right_answers(answers, labels).sum(1))
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
    frames = 0 if encoder_facts(model.encoder).takes == "images" else steps
    return Operations(counted(hits, samples // draws), found, frames)


def _padded(counts: Tensor, steps: int) -> Tensor:
    """Append zeros for the steps in which no sample is left."""
    return torch.cat([counts, counts.new_zeros(steps - len(counts), *counts.shape[1:])])


def _layer(
    name: str, layer: PlannedLayer, came: Arrivals | None, fired: Tensor, neurons: int, samples: int
) -> LayerOperations:
    """Count the operations of one layer from what came to its weights, if it has any, and the spikes it fired."""
    updates, none = updates_of(layer, fired), 0 * fired
    if layer.weights is None or came is None:
        return LayerOperations("nothing", none, none, 0, fired, neurons, *updates)
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
    return LayerOperations(kind, by_event, by_value, layer.connections, fired, neurons, *updates)


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
            update_additions=float(layer.update_additions[:steps].sum()),
            update_multiplications=float(layer.update_multiplications[:steps].sum()),
            ann_macs=found.ann_inputs * layer.dense,
            ann_update_additions=found.ann_inputs * layer.ann_updates,
        )

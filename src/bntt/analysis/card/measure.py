"""Count what hardware must store of a network, and measure what it must compute for one image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.card.measurement import CardArguments
from bntt.analysis.card.result import Bits, CardResult, LayerCard
from bntt.analysis.energy.operations import count_operations
from bntt.analysis.energy.plan import READOUT, PlannedLayer, fan_out, plan_layers
from bntt.analysis.measurement import ArgumentError, Opened, Progress, origin
from bntt.nn.blocks.block import BlockState
from bntt.nn.kinds import block_facts, norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader, samples
from bntt.nn.network.measured import evaluating
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.network.state import NetworkState

WEIGHT_BITS = {"float32": 32, "float16": 16, "int8": 8}
TABLE_BITS = {"float32": 64, "float16": 32, "int8": 32}
"""Bits of one number, a scale or a shift of a norm for one step and channel, in a bundle with such weights."""
STEP_BITS = 32
"""Bits of the size of one integer, stored for each output channel of int8 weights."""


def measure_card(opened: Opened, arguments: CardArguments, progress: Progress) -> CardResult:
    """Count a run's network, and measure it on some images of a split.

    Raises:
        ArgumentError: if the effect of a part of the network on spikes is unknown.
    """
    loader = opened.loader(arguments.split, arguments.images)
    progress.expect(2 * len(loader.places))
    try:
        found = network_card(opened.model, batches=loader, seed=opened.seed, progress=progress)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{opened.path}: {error}") from None
    return CardResult(**origin(opened, arguments), **vars(found))


@dataclass(frozen=True)
class Card:
    """What hardware must store of a network, and compute for one image; fields as in :class:`CardResult`."""

    steps: int
    parameters: int
    bits: dict[str, Bits]
    negative_gamma: float | None
    layers: list[LayerCard]
    images: int = 0
    missing: str = ""


def network_card(
    model: SpikingClassifier,
    *,
    batches: Loader | None = None,
    input_shape: Sequence[int] | None = None,
    missing: str = "",
    seed: int = 0,
    progress: Callable[[int], None] = lambda samples: None,
) -> Card:
    """Count what hardware must store of a network and, given samples, what it must compute for one of them.

    Membranes are those kept from one step to the next, after the reset; the readout's is its sum so far. The model runs
    in evaluation mode and is left unchanged.

    Args:
        batches: as for :func:`~bntt.analysis.evaluate`, with the same noise; None measures nothing.
        input_shape: shape of one sample in one step, ``[C, H, W]`` or ``[F]``; ignored if there are ``batches``.
        missing: the reason why nothing is measured, shown to the reader.
        seed: identifies the encoder's noise.

    Raises:
        TypeError: if the effect of a part of the network on spikes is unknown.
        ValueError: if there are no samples, or neither samples nor a shape.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> model = SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, hidden=(8,), num_steps=3, num_classes=2))
    >>> found = network_card(model, input_shape=(4,))
    >>> found.parameters, found.bits["int8"].weights, [(row.layer, row.state_bytes) for row in found.layers]
    (72, 704, [('fc1', 32), ('readout', 8)])
    """
    check_classifier(model, "network_card() takes")
    work = _Work() if batches is None else _measured(model, batches, seed, progress)
    shape = work.shape or tuple(input_shape or ())
    if not shape:
        raise ValueError("the card of a network needs samples, or one sample's shape in one step: give input_shape=")
    steps, planned = model.encoder.num_steps, plan_layers(model.network, shape, None)
    bytes_of = _state_bytes(model, shape)
    layers = [_layer(name, layer, bytes_of, work) for name, layer in planned.items()]
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    bits = {name: _bits(planned, steps, name) for name in WEIGHT_BITS}
    gammas = [gamma for layer in planned.values() if (gamma := _gamma(layer)) is not None]
    negative = float((torch.cat(gammas) < 0).double().mean()) if gammas else None
    return Card(steps, parameters, bits, negative, layers, work.images, missing)


def _gamma(layer: PlannedLayer) -> Tensor | None:
    """Return all γ of a layer; None if it has none."""
    norm: Any = layer.norm
    return norm.gamma.detach().flatten() if norm_facts(norm).running_statistics else None


@dataclass
class _Work:
    """The measurements by layer; empty at first."""

    images: int = 0
    shape: tuple[int, ...] = ()
    spikes: dict[str, float] = field(default_factory=dict)
    operations: dict[str, float] = field(default_factory=dict)
    highest: dict[str, float] = field(default_factory=dict)


def _layer(name: str, layer: PlannedLayer, bytes_of: dict[str, int], work: _Work) -> LayerCard:
    weights, gamma = layer.weights, _gamma(layer)
    reach = None if weights is None else fan_out(weights, layer.into.shape)
    return LayerCard(
        layer=name,
        weights=0 if weights is None else weights.weight.numel(),
        connections=layer.connections,
        neurons=math.prod(layer.out) if name in bytes_of else 0,
        state_bytes=bytes_of.get(name, 0),
        fan_out_largest=None if reach is None else int(reach.max()),
        fan_out_mean=None if reach is None else float(reach.double().mean()),
        negative_gamma=None if gamma is None else float((gamma < 0).double().mean()),
        spikes=None if layer.lif is None else work.spikes.get(name),
        synaptic_operations=work.operations.get(name),
        highest_membrane=work.highest.get(name),
    )


def _bits(planned: dict[str, PlannedLayer], steps: int, name: str) -> Bits:
    weights = [layer.weights for layer in planned.values() if layer.weights is not None]
    bits = sum(one.weight.numel() for one in weights) * WEIGHT_BITS[name]
    if name == "int8":
        bits += sum(len(one.weight) for one in weights) * STEP_BITS
    numbers = sum(2 * steps * layer.out[0] for layer in planned.values() if layer.norm is not None)
    biases = 32 * sum(one.bias.numel() for one in weights if one.bias is not None)
    return Bits(weights=bits, tables=numbers * TABLE_BITS[name] + biases)


@torch.no_grad()
def _state_bytes(model: SpikingClassifier, shape: tuple[int, ...]) -> dict[str, int]:
    """Return the bytes of one sample's state, by layer, after a step without input."""
    weight = next(model.parameters())
    with evaluating(model):
        _, state = model.network.advance(torch.zeros(1, 1, *shape, dtype=weight.dtype, device=weight.device))
    return {name: sum(one.nbytes for one in tensors) for name, tensors in _membranes(model.network, state)}


def _measured(model: SpikingClassifier, batches: Loader, seed: int, progress: Callable[[int], None]) -> _Work:
    counted = count_operations(model, batches, seed=seed, progress=progress)
    work = _Work(images=counted.accuracy.samples)
    for name, layer in counted.layers.items():
        found = layer.synaptic()
        work.operations[name] = found.additions + found.macs
        work.spikes[name] = float(layer.spikes.sum())
    device = next(model.parameters()).device
    with torch.no_grad(), evaluating(model):
        for inputs, labels, index in samples(batches, 0):
            x, noise = inputs.to(device), dict[str, Any](seed=seed, index=index, draw=FIRST_DRAW)
            work.shape = tuple(model.encoder(x[:1], **{**noise, "index": index[:1]}, steps=range(1)).shape[2:])
            state = None
            for _ in range(model.encoder.num_steps):
                _, state = model.advance(x, state, steps=1, **({} if state else noise))
                for name, tensors in _membranes(model.network, state):
                    largest = max(float(one.abs().max()) for one in tensors)
                    work.highest[name] = max(largest, work.highest.get(name, 0.0))
            progress(len(labels))
    return work


def _membranes(network: SpikingNetwork, state: NetworkState) -> Iterator[tuple[str, list[Tensor]]]:
    """Yield the tensors of every layer's neurons, and the readout's, by layer name."""
    for (name, block), own in zip(network.blocks.items(), state.blocks, strict=True):
        yield from _of_block(name, block, own)
    yield READOUT, _tensors(state.readout)


def _of_block(name: str, block: Any, state: Any) -> Iterator[tuple[str, list[Tensor]]]:
    if block_facts(block).form == "sum":
        after = {} if block.after is None else {"after": block.after}
        parts = [*block.body.items(), *block.shortcut.items(), *after.items()]
        for (part, inner), own in zip(parts, state, strict=True):
            yield from _of_block(f"{name}.{part}", inner, own)
    elif tensors := _tensors(state.membrane if isinstance(state, BlockState) else state):
        yield name, tensors


def _tensors(state: Any) -> list[Tensor]:
    """Return the tensors in a state of neurons; of an object, those in its attributes."""
    if state is None or isinstance(state, Tensor):
        return [] if state is None else [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, tuple) else vars(state).values()
    return [one for part in parts if isinstance(part, Tensor | tuple | dict) for one in _tensors(part)]

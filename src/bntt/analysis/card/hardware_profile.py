"""Count what hardware must store of a network, and measure what it must compute for one image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.accuracy.evaluation import first_input, presented
from bntt.analysis.card import Bits, HardwareProfile, LayerCard
from bntt.analysis.energy.operations import READOUT, PlannedLayer, count_operations, fan_out, plan_layers
from bntt.nn.blocks import BlockState
from bntt.nn.call import NetworkState, evaluating
from bntt.nn.kinds import block_facts, norm_facts
from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.network.labelled_batch import Loader
from bntt.nn.network.spiking_network import SpikingNetwork

WEIGHT_BITS = {"float32": 32, "float16": 16, "int8": 8}
TABLE_BITS = {"float32": 64, "float16": 32, "int8": 32}
"""Bits of one number, a scale or a shift of a norm for one step and channel, in a bundle with such weights."""
STEP_BITS = 32
"""Bits of the size of one integer, stored for each output channel of int8 weights."""


@torch.no_grad()
def hardware_profile(
    model: SpikingClassifier,
    batches: Loader | None = None,
    *,
    input_shape: Sequence[int] = (),
    seed: int = 0,
    progress: Callable[[int], None] = lambda samples: None,
) -> HardwareProfile:
    """Count what hardware must store of a network and, given samples, what it must compute for one of them."""
    network, steps, shape = model.network, model.encoder.num_steps, tuple(input_shape)
    counted = None if batches is None else count_operations(model, batches, seed=seed, progress=progress)
    highest = dict[str, float]()
    with evaluating(model):
        if batches is not None:
            shape, highest = _highest_membranes(model, batches, seed, progress)
        weight = next(model.parameters())
        _, state = network.advance(torch.zeros(1, 1, *shape, dtype=weight.dtype, device=weight.device))
    state_bytes = {name: sum(one.nbytes for one in tensors) for name, tensors in _membranes(network, state)}
    planned, layers, gammas = plan_layers(network, shape, None), [], list[Tensor]()
    for name, one in planned.items():
        reach = None if one.weights is None else fan_out(one.weights, one.into.shape)
        norm: Any = one.norm
        gamma = norm.gamma.detach().flatten() if norm_facts(norm).running_statistics else None
        gammas += [] if gamma is None else [gamma]
        work = None if counted is None else counted.layers[name]
        synaptic = None if work is None else work.synaptic()
        layers.append(
            LayerCard(
                layer=name,
                weights=0 if one.weights is None else one.weights.weight.numel(),
                connections=one.connections,
                neurons=math.prod(one.out) if name in state_bytes else 0,
                state_bytes=state_bytes.get(name, 0),
                fan_out_largest=None if reach is None else int(reach.max()),
                fan_out_mean=None if reach is None else float(reach.double().mean()),
                negative_gamma=None if gamma is None else _share_below_0(gamma),
                spikes=None if work is None or one.lif is None else float(work.spikes.sum()),
                synaptic_operations=None if synaptic is None else synaptic.additions + synaptic.macs,
                highest_membrane=highest.get(name),
            )
        )
    return HardwareProfile(
        images=0 if counted is None else counted.accuracy.samples,
        steps=steps,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        bits={name: _bits(planned, steps, name) for name in WEIGHT_BITS},
        negative_gamma=_share_below_0(torch.cat(gammas)) if gammas else None,
        layers=layers,
    )


def _share_below_0(gamma: Tensor) -> float:
    return float((gamma < 0).double().mean())


def _bits(planned: dict[str, PlannedLayer], steps: int, name: str) -> Bits:
    weights = [layer.weights for layer in planned.values() if layer.weights is not None]
    bits = sum(one.weight.numel() for one in weights) * WEIGHT_BITS[name]
    if name == "int8":
        bits += sum(len(one.weight) for one in weights) * STEP_BITS
    numbers = sum(2 * steps * layer.out[0] for layer in planned.values() if layer.norm is not None)
    biases = 32 * sum(one.bias.numel() for one in weights if one.bias is not None)
    return Bits(weights=bits, tables=numbers * TABLE_BITS[name] + biases)


def _highest_membranes(
    model: SpikingClassifier, batches: Loader, seed: int, progress: Callable[[int], None]
) -> tuple[tuple[int, ...], dict[str, float]]:
    """Return the shape of a sample in one step, and the highest \\|u\\| of each layer."""
    shape, highest = tuple[int, ...](), dict[str, float]()
    for _, inputs, _, noise in presented(model, batches, "measure", seed, 1, progress):
        shape, state = tuple(first_input(model, inputs, noise).shape[2:]), None
        for _ in range(model.encoder.num_steps):
            _, state = model.advance(inputs, state, steps=1, **({} if state else noise))
            for name, tensors in _membranes(model.network, state):
                highest[name] = max(highest.get(name, 0.0), *(float(one.abs().max()) for one in tensors))
    return shape, highest


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

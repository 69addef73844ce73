"""The description of a PyTorch model in evaluation mode."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bntt.deploy.description import Description, Encoder, EncoderKind, Pictures
from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array, Layer, Neurons, Node, Sum, Weights
from bntt.deploy.walk import REMEDY, Unit, refusing, walk
from bntt.engine.private import has_global_hooks
from bntt.nn.encoders.analog import DirectEncoder, ExpectedEncoder, FrameEncoder, SequenceEncoder
from bntt.nn.encoders.poisson import PoissonEncoder
from bntt.nn.fusion.supported import NotKnown, geometry_of
from bntt.nn.fusion.untouched import remember, why_touched
from bntt.nn.kinds import encoder_facts, norm_facts, step_gamma
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.delays import delays
from bntt.nn.network.fold import normalisation_of
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms.methods import FAMILY, LayerNorm, NoNorm
from bntt.ops.folded import FoldedNeuron
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset

RULES: dict[Any, Any] = {fire_after: "after", fire_before: "before"}
RESETS: dict[Any, Any] = {soft_reset: "soft", hard_reset: "hard"}
ENCODERS: dict[type, tuple[EncoderKind, EncoderKind]] = {
    PoissonEncoder: ("poisson-unsigned", "poisson"),
    ExpectedEncoder: ("expected-unsigned", "expected"),
    DirectEncoder: ("direct", "direct"),
    FrameEncoder: ("frames", "frames"),
    SequenceEncoder: ("sequence", "sequence"),
}
"""The kind of each encoder, unsigned and signed; a subclass may encode differently."""
remember(*ENCODERS)


def describe(
    model: SpikingClassifier,
    *,
    classes: Sequence[str] = (),
    input_shape: Sequence[int] | None = None,
    pictures: Pictures | None = None,
    run: Mapping[str, str] | None = None,
) -> Description:
    """Return a model in evaluation mode as arrays: statistics, γ and β become a scale and a shift by step and channel.

    Weights keep their dtype; everything else is computed and stored in float64. The model is left unchanged.

    Args:
        model: the classifier.
        classes: names of the classes; their numbers by default.
        input_shape: shape of one step of a sample, ``[C, H, W]`` or ``[F]``; by default the one it was built for.
        pictures: how image files become samples.
        run: provenance, as text by name.

    Raises:
        TypeError: if it is not a classifier.
        DeployError: naming a part that cannot be described (a layer norm, a custom part or hook), and what to do; or if
            no input shape is given and the network does not have one.

    >>> from bntt.models import mlp
    >>> net = mlp(in_features=4, hidden=(8,), num_steps=5)
    >>> made = describe(SpikingClassifier(SequenceEncoder(5), net))
    >>> [layer.name for layer in made.layers], made.input_shape, made.layers[0].scale.shape
    (['fc1', 'readout'], (4,), (5, 8))
    """
    check_classifier(model, "describe() takes")
    _check_whole(model, SpikingClassifier)
    _check_whole(model.network, SpikingNetwork)
    encoder, network = _encoder(model.encoder), model.network
    shape = _input_shape(model) if input_shape is None else tuple(input_shape)
    if len(shape) not in (1, 3):
        raise DeployError(f"one step of a sample is [C, H, W] or [F], got {list(shape)}")
    walk(network, shape)  # refuses before anything is copied
    exact = copy.deepcopy(network).cpu().double()
    profile, dtype = _gammas(network, encoder.num_steps), next(network.parameters()).dtype
    nodes: list[Node] = []
    for unit in walk(exact, shape):
        with refusing(unit.name):
            nodes.append(unit if isinstance(unit, Sum) else _layer(unit, encoder.num_steps, profile, dtype))
    count = nodes[-1].scale.shape[1] if isinstance(nodes[-1], Layer) else 0
    names = tuple(classes) or tuple(map(str, range(count)))
    return Description(tuple(nodes), encoder, names, shape, pictures, dict(run or {}))


def _layer(unit: Unit, steps: int, profile: Mapping[str, tuple[Array, tuple[int, int]]], dtype: torch.dtype) -> Layer:
    scale, shift = _affine(unit.norm, steps, unit.channels)
    neurons = None
    if unit.lif is not None:
        firing = _firing(unit.lif)
        neurons, scale, shift = firing.neurons, firing.gain * scale, firing.gain * shift + firing.bias
    gamma, driven = profile.get(unit.name, (None, (0, 0)))
    weights = None if unit.weights is None else _weights(unit.weights, dtype)
    scale, shift = (np.ascontiguousarray(np.broadcast_to(rows, (steps, unit.channels))) for rows in (scale, shift))
    return Layer(unit.name, unit.reads, scale, shift, weights, neurons, unit.before, unit.after, gamma, driven)


def _weights(weights: nn.Conv2d | nn.Linear, dtype: torch.dtype) -> Weights:
    made, bias = geometry_of(weights), None if weights.bias is None else _array(weights.bias.to(dtype))
    return Weights(_array(weights.weight.to(dtype)), bias, made.stride, made.padding, made.dilation, made.groups)


def _affine(norm: Any, steps: int, channels: int) -> tuple[Array, Array]:
    """Return scale and shift, ``[T, C]``."""
    if norm is None or type(norm) is NoNorm:
        return np.ones((steps, channels)), np.zeros((steps, channels))
    if type(norm) not in FAMILY:
        own = type(norm) is not LayerNorm
        why = "is not from the library" if own else "takes the statistics of every sample, which are no constants"
        raise NotKnown(f"its norm, {type(norm).__name__}, {why}: train with batch statistics, such as norm='bntt'")
    if norm.num_steps != steps or norm.channels != channels:
        raise NotKnown(
            f"its norm has {norm.num_steps} steps of {norm.channels} channels, expected {steps} of {channels}"
        )
    scale, mean, shift = map(_array, normalisation_of(norm))
    return scale, shift - scale * mean


class _Firing(NamedTuple):
    neurons: Neurons
    gain: Array
    """Factor of the current, ``[T or 1, C or 1]``."""
    bias: Array


def _firing(lif: nn.Module) -> _Firing:
    if not isinstance(lif, LIF | FoldedLIF) or type(lif) not in (LIF, FoldedLIF):
        raise NotKnown(f"its neurons are {type(lif).__name__}: only LIF and FoldedLIF can")
    neuron = lif.neuron
    if type(neuron) not in (Neuron, FoldedNeuron):
        raise NotKnown(f"its neurons are {type(neuron).__name__}, which is not from the library")
    if neuron.rule not in RULES or neuron.reset not in RESETS:
        raise NotKnown(
            "its firing rule or reset is a custom one: only fire_after, fire_before, soft and hard reset can"
        )
    names = RULES[neuron.rule], RESETS[neuron.reset]
    if not isinstance(neuron, FoldedNeuron):
        neurons = Neurons(_table(neuron.leak), _table(neuron.threshold), *names)
        return _Firing(neurons, _table(neuron.input_gain), np.zeros((1, 1)))
    amount = None if neuron.amount is None else _table(neuron.amount)
    turned = _table(neuron.turned).astype(bool)
    neurons = Neurons(_table(neuron.leak), _table(neuron.threshold), *names, amount, turned if turned.any() else None)
    return _Firing(neurons, _table(neuron.gain), _table(neuron.bias))


def _table(value: Any) -> Array:
    """Return a number, one number per channel, or a table as ``[T or 1, C or 1]``."""
    values = _array(value) if isinstance(value, Tensor) else np.asarray(value)
    return values.astype(np.float64).reshape(values.shape if values.ndim == 2 else (1, -1))


def _array(values: Tensor) -> Array:
    values = values.detach().cpu()
    found: Array = (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16
    return np.array(found, order="C")


def _gammas(network: SpikingNetwork, steps: int) -> dict[str, tuple[Array, tuple[int, int]]]:
    """Return the mean |γ| of every layer that has one for each step, and the steps in which it counts."""
    late, found = delays(network), {}
    for name, layer in network.layers.items():
        norm: Any = layer.norm
        if norm_facts(norm).step_gamma:
            driven = late[name].driven(steps)
            first = min(driven.start, steps)
            found[name] = _array(step_gamma(norm).abs().mean(1)), (first, max(first, min(driven.stop, steps)))
    return found


def _check_whole(part: nn.Module, kind: type[nn.Module]) -> None:
    """Refuse a classifier or a network with code of its own besides its parts."""
    if reason := why_touched(part, kind) or "has a hook of all modules" * has_global_hooks():
        raise DeployError(f"the {kind.__name__} cannot leave PyTorch: it {reason}, {REMEDY}")


def _encoder(encoder: Any) -> Encoder:
    kinds = ENCODERS.get(type(encoder))
    reason = why_touched(encoder) if isinstance(encoder, nn.Module) else ""
    if kinds is None or reason:
        raise DeployError(
            f"the encoder, {type(encoder).__name__}, cannot leave PyTorch{reason and ': it ' + reason}: use "
            f"{', '.join(kind.__name__ for kind in ENCODERS)}"
        )
    scales = (getattr(encoder, name, None) for name in ("mean", "std"))
    mean, std = (() if rows is None else tuple(map(float, rows.flatten().double().tolist())) for rows in scales)
    return Encoder(kinds[bool(getattr(encoder, "signed", True))], encoder.num_steps, mean, std)


def _input_shape(model: SpikingClassifier) -> tuple[int, ...]:
    """Return the shape of a step's input that the network was built for."""
    shape, takes = model.network.input_shape, encoder_facts(model.encoder).takes
    if shape is None or (len(shape) == 1) != (takes == "sequences"):
        raise DeployError("the network does not say the shape of its samples: give it, input_shape=(C, H, W)")
    return shape

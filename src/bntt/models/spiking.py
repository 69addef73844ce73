"""What every spiking builder does with its layers: add norm, neurons and readout, then initialise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypedDict, TypeVar

from bntt.models.plan import HiddenLayer, initialize, linear
from bntt.nn.block import SpikingBlock
from bntt.nn.lif import LIF
from bntt.nn.network import SpikingNetwork
from bntt.nn.norms import NORMS, NormBuilder
from bntt.nn.readout import Readout
from bntt.ops.lif import FireRule, Reset, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Surrogate, Triangle

FIRE_RULES: dict[str, FireRule] = {"after": fire_after, "before": fire_before}
RESETS: dict[str, Reset] = {"soft": soft_reset, "hard": hard_reset}
SURROGATES: dict[str, Surrogate] = {"triangle": Triangle(), "fast-sigmoid": FastSigmoid(), "arctan": ArcTan()}

T = TypeVar("T")


class NeuronOptions(TypedDict, total=False):
    """Keyword arguments that every spiking builder takes."""

    threshold: float
    """θ, 1 by default."""
    fire: str | FireRule
    """"after" integration (the paper, default), "before" it (the authors' first upload), or a rule."""
    reset: str | Reset
    """"soft" (the paper, default), "hard", or a function."""
    surrogate: str | Surrogate
    """"triangle" (Eq. 8, default), "fast-sigmoid", "arctan", or a function."""
    learn_leak: bool | Literal["layer", "channel"]
    """A learnable leak, starting at ``leak``: one per layer (True, "layer"), or one per channel of each."""
    seed: int
    """Of the start weights (Xavier-uniform, gain 2), 0 by default; the global generator is not touched."""


def spiking_network(
    layers: Iterable[HiddenLayer],
    *,
    num_classes: int,
    num_steps: int,
    leak: float,
    norm: str | NormBuilder,
    threshold: float = 1.0,
    fire: str | FireRule = "after",
    reset: str | Reset = "soft",
    surrogate: str | Surrogate = "triangle",
    learn_leak: bool | Literal["layer", "channel"] = False,
    seed: int = 0,
) -> SpikingNetwork:
    """The layers as blocks, a readout without bias, and start weights from ``seed``."""
    if num_classes < 1:
        raise ValueError(f"num_classes must be 1 or more, got {num_classes}")
    build_norm = resolve("norm", NORMS, norm)
    rule, reset = resolve("fire rule", FIRE_RULES, fire), resolve("reset", RESETS, reset)
    surrogate = resolve("surrogate", SURROGATES, surrogate)
    if learn_leak not in (False, True, "layer", "channel"):
        raise ValueError(f"learn_leak must be False, True, 'layer' or 'channel', got {learn_leak!r}")
    blocks, features = {}, 0
    for layer in layers:
        channels = layer.channels if learn_leak == "channel" else None
        lif = LIF(
            leak,
            threshold,
            learn_leak=bool(learn_leak),
            channels=channels,
            rule=rule,
            reset=reset,
            surrogate=surrogate,
        )
        norm_layer = build_norm(layer.channels, num_steps, threshold)
        blocks[layer.name] = SpikingBlock(layer.synapse, norm_layer, lif, layer.pool)
        features = layer.channels
    network = SpikingNetwork(blocks, Readout(linear(features, num_classes)))
    initialize(network, seed)
    return network


def resolve(kind: str, known: dict[str, T], value: str | T) -> T:
    """A value stands for itself, a name for its entry; an unknown name is an error that lists the known ones."""
    if not isinstance(value, str):
        return value
    if value not in known:
        raise ValueError(f"unknown {kind} {value!r}: choose one of {', '.join(known)}")
    return known[value]

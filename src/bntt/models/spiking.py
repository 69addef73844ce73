"""What every builder does with its weights: add norm, neurons and readout, then initialise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, TypeVar, get_args

from torch import nn

from bntt.models.plan import HiddenLayer, initialize, linear
from bntt.nn.blocks.block import CurrentBlock, NeuronBlock, SpikingBlock
from bntt.nn.blocks.dropout import SpikeDropout
from bntt.nn.blocks.readout import Readout, SpikeCount
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons.lif import LIF
from bntt.nn.neurons.rectifier import Rectifier
from bntt.nn.norms.methods import NORMS, NormBuilder
from bntt.nn.norms.temporal import LayerNorm, TemporalNorm
from bntt.ops.lif import FireRule, Reset, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Surrogate, Triangle

FIRE_RULES: dict[str, FireRule] = {"after": fire_after, "before": fire_before}
RESETS: dict[str, Reset] = {"soft": soft_reset, "hard": hard_reset}
SURROGATES: dict[str, Surrogate] = {"triangle": Triangle(), "fast-sigmoid": FastSigmoid(), "arctan": ArcTan()}

NeuronName = Literal["lif", "relu"]
ReadoutName = Literal["voltage", "spikes"]
RELU_GAIN = 2.0**0.5
"""He's gain keeps the size of activations through rectifiers, which no norm would bring back."""

T = TypeVar("T")


class NeuronOptions(TypedDict, total=False):
    """Keyword arguments that every spiking builder takes."""

    neuron: NeuronName
    """"lif" (default), or "relu": an ANN of the same plan, of one step and without a norm; threshold, leak, fire, reset
    and surrogate then say nothing."""
    threshold: float
    """θ, 1 by default."""
    fire: str | FireRule
    """"after" integration (the paper, default), "before" it (the authors' first upload), or a rule."""
    reset: str | Reset
    """"soft" (the paper, default), "hard", or a function."""
    surrogate: str | Surrogate
    """"triangle" (Eq. 8, default), "fast-sigmoid", "arctan", or a function."""
    surrogate_scale: float
    """α of Eq. 8, in place of the surrogate's own scale; 0 (default) is its own."""
    readout: ReadoutName
    """"voltage" accumulated without firing (the paper, default), or a count of the "spikes" of output neurons."""
    learn_leak: bool | Literal["layer", "channel"]
    """A learnable leak, starting at ``leak``: one per layer (True, "layer"), or one per channel of each."""
    decay_input: bool
    """Whether the input decays as the membrane does, ``m = λu + (1 - λ)y`` (with a learned leak: PLIF,
    Fang et al. 2021), or not, ``m = λu + y`` (the paper, default)."""
    norm_eps: float
    """ε of every norm, in place of its own 1e-4; 0 (default) is its own."""
    dropout: float
    """Share of spikes that one mask for all steps drops in training, after every hidden layer that no pooling
    follows; 0 by default."""
    seed: int
    """Of the start weights (Xavier-uniform, gain 2, or √2 of an ANN), 0 by default; the global generator is not
    touched."""


@dataclass(frozen=True)
class Maker:
    """Makes the blocks of one network, which share their options."""

    num_steps: int
    norm_builder: NormBuilder
    threshold: float
    neuron: dict[str, Any] | None
    """What every ``LIF`` is made of; None: there is none, the network is an ANN."""
    learn_leak: bool | Literal["layer", "channel"]
    dropout: float
    readout: ReadoutName
    seed: int
    """Of the start weights."""
    norm_eps: float = 0.0
    """0 is the norm's own."""

    def norm(self, channels: int, alpha: float = 1.0) -> nn.Module:
        """A norm; ``alpha`` scales the drive of those that give it the threshold's size, as α θ.

        Raises:
            ValueError: if it has no ε, and one is asked for.
        """
        norm = self.norm_builder(channels, self.num_steps, alpha * self.threshold)
        if self.norm_eps:
            if not isinstance(norm, TemporalNorm | LayerNorm):
                raise ValueError(f"norm_eps={self.norm_eps}: a {type(norm).__name__} has no ε to set")
            norm.eps = self.norm_eps
        return norm

    def lif(self, channels: int) -> LIF | Rectifier:
        """The neurons of a layer."""
        if self.neuron is None:
            return Rectifier()
        each = channels if self.learn_leak == "channel" else None
        return LIF(learn_leak=bool(self.learn_leak), channels=each, **self.neuron)

    def spiking(self, synapse: nn.Module, channels: int, pool: nn.Module | None = None) -> SpikingBlock:
        """Weights, norm and neurons; and dropout, where no pooling follows."""
        pools = pool is not None and any(isinstance(part, POOLS) for part in pool.modules())
        dropout = SpikeDropout(self.dropout) if self.dropout and not pools else None
        return SpikingBlock(synapse, self.norm(channels), self.lif(channels), pool, dropout)

    def current(self, synapse: nn.Module, channels: int, alpha: float = 1.0) -> CurrentBlock:
        """Weights and norm."""
        return CurrentBlock(synapse, self.norm(channels, alpha))

    def neurons(self, channels: int, pool: nn.Module | None = None) -> NeuronBlock:
        """Neurons alone."""
        return NeuronBlock(self.lif(channels), pool)

    def network(self, blocks: Mapping[str, nn.Module], readout: nn.Module) -> SpikingNetwork:
        """The network of these blocks, with start weights."""
        last = Readout(readout) if self.readout == "voltage" or self.neuron is None else self._counting(readout)
        network = SpikingNetwork(blocks, last)
        initialize(network, self.seed, gain=2.0 if self.neuron is not None else RELU_GAIN)
        return network

    def _counting(self, synapse: nn.Module) -> SpikeCount:
        """Output neurons, whose leak is not learned."""
        return SpikeCount(synapse, LIF(**(self.neuron or {})))


POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d)


def maker(
    num_steps: int,
    leak: float,
    norm: str | NormBuilder,
    *,
    neuron: NeuronName = "lif",
    threshold: float = 1.0,
    fire: str | FireRule = "after",
    reset: str | Reset = "soft",
    surrogate: str | Surrogate = "triangle",
    surrogate_scale: float = 0.0,
    readout: ReadoutName = "voltage",
    learn_leak: bool | Literal["layer", "channel"] = False,
    decay_input: bool = False,
    norm_eps: float = 0.0,
    dropout: float = 0.0,
    seed: int = 0,
) -> Maker:
    """What the options of a builder say.

    Raises:
        ValueError: on a name that is not known, or a value that cannot be.
    """
    if learn_leak not in (False, True, "layer", "channel"):
        raise ValueError(f"learn_leak must be False, True, 'layer' or 'channel', got {learn_leak!r}")
    SpikeDropout(dropout)  # refuses what cannot be
    if neuron not in get_args(NeuronName):
        raise ValueError(f"unknown neuron {neuron!r}: choose one of {', '.join(get_args(NeuronName))}")
    values = {
        "leak": leak,
        "threshold": threshold,
        "rule": resolve("fire rule", FIRE_RULES, fire),
        "reset": resolve("reset", RESETS, reset),
        "surrogate": _scaled(resolve("surrogate", SURROGATES, surrogate), surrogate_scale),
        "decay_input": decay_input,
    }
    if readout not in get_args(ReadoutName):
        raise ValueError(f"unknown readout {readout!r}: choose one of {', '.join(get_args(ReadoutName))}")
    if neuron == "relu":
        _check_ann(num_steps, norm, learn_leak, decay_input)
        if readout != "voltage":
            raise ValueError(f"an ANN (neuron='relu') has no spikes to count, got readout={readout!r}")
    lif = values if neuron == "lif" else None
    if not 0 <= norm_eps < 1:
        raise ValueError(f"norm_eps must be above 0 and below 1, or 0 for the norm's own, got {norm_eps}")
    builder = resolve("norm", NORMS, norm)
    return Maker(num_steps, builder, threshold, lif, learn_leak, dropout, readout, seed, norm_eps)


def _scaled(surrogate: Surrogate, scale: float) -> Surrogate:
    """The surrogate with another scale; as it is for 0.

    Raises:
        ValueError: if it has none, or one below 0 is asked for.
    """
    if scale == 0:
        return surrogate
    if not hasattr(surrogate, "scale"):
        raise ValueError(f"surrogate_scale={scale}: {surrogate!r} has no scale")
    if not 0 < scale < float("inf"):
        raise ValueError(f"surrogate_scale must be a number above 0, or 0 for its own, got {scale}")
    scaled: Surrogate = replace(surrogate, scale=scale)  # type: ignore[type-var]
    return scaled


def _check_ann(num_steps: int, norm: str | NormBuilder, learn_leak: object, decay_input: bool) -> None:
    """Refuse what an ANN does not have.

    Raises:
        ValueError: naming it.
    """
    if num_steps != 1:
        raise ValueError(f"an ANN (neuron='relu') has one step, got num_steps={num_steps}: take num_steps=1")
    if norm != "none":
        raise ValueError(f"an ANN (neuron='relu') has no norm here, as conversion needs it: norm='none', got {norm!r}")
    if learn_leak:
        raise ValueError(f"an ANN (neuron='relu') has no leak to learn, got learn_leak={learn_leak!r}")
    if decay_input:
        raise ValueError("an ANN (neuron='relu') has no membrane that its input could decay with, got decay_input=True")


def spiking_network(
    layers: Iterable[HiddenLayer],
    *,
    num_classes: int,
    num_steps: int,
    leak: float,
    norm: str | NormBuilder,
    **options: Any,
) -> SpikingNetwork:
    """The layers as blocks, a readout without bias, and start weights from ``seed``."""
    make, blocks, features = maker(num_steps, leak, norm, **options), {}, 0
    for layer in layers:
        blocks[layer.name] = make.spiking(layer.synapse, layer.channels, layer.pool)
        features = layer.channels
    return make.network(blocks, linear(features, check_classes(num_classes)))


def check_classes(num_classes: int) -> int:
    """Refuse less than one class."""
    if num_classes < 1:
        raise ValueError(f"num_classes must be 1 or more, got {num_classes}")
    return num_classes


def resolve(kind: str, known: dict[str, T], value: str | T) -> T:
    """A value stands for itself, a name for its entry; an unknown name is an error that lists the known ones."""
    if not isinstance(value, str):
        return value
    if value not in known:
        raise ValueError(f"unknown {kind} {value!r}: choose one of {', '.join(known)}")
    return known[value]

"""The steps common to all builders: weights, norms, neurons, readout, initial values; and the builders by name."""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, is_dataclass, replace
from functools import wraps
from inspect import signature
from typing import Annotated, Any, Literal, TypeVar, cast

import torch
from pydantic import Field
from torch import nn

from bntt.nn.blocks import CurrentBlock, NeuronBlock, Readout, SpikeCount, SpikeDropout, SpikingBlock
from bntt.nn.kinds import NEURONS, NormBuilder, borrowed_generator, neuron_facts_by_name, norm_builder
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.ops.lif import FireRule, Reset, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Surrogate, Triangle
from bntt.registry import Kind, NoneAs, OneOf, Registry, check_options, options_of


def scaled(channels: int, width: float) -> int:
    """Return ``channels`` times the width multiplier, rounded, at least 1."""
    if not 0 < width < math.inf:
        raise ValueError(f"width must be a number above 0, got {width}")
    return max(1, round(channels * width))


def convolution(in_channels: int, out_channels: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias, ``size`` odd, padded so that stride 1 keeps an image's size."""
    if in_channels < 1:
        raise ValueError(f"in_channels must be 1 or more, got {in_channels}")
    options = {"stride": stride, "padding": size // 2, "bias": False}
    return nn.utils.skip_init(nn.Conv2d, in_channels, out_channels, size, **options)  # type: ignore[no-any-return, no-untyped-call]


def linear(in_features: int, out_features: int) -> nn.Linear:
    """Make a linear layer without bias; its weights are allocated but have no values until :func:`initialize`."""
    return nn.utils.skip_init(nn.Linear, in_features, out_features, bias=False)  # type: ignore[no-any-return, no-untyped-call]


def initialize(network: nn.Module, seed: int, gain: float = 2.0) -> None:
    """Initialise every weight Xavier-uniform, with gain 2 as released, from its own generator (not the global one)."""
    generator = torch.Generator().manual_seed(seed)
    inner = [getattr(block, part, None) for block in network.modules() for part in ("norm", "lif")]
    own = {id(module) for part in inner if isinstance(part, nn.Module) for module in part.modules()}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and id(module) not in own:
            nn.init.xavier_uniform_(module.weight, gain=gain, generator=generator)


@contextmanager
def seeded(seed: int, number: int) -> Iterator[None]:
    """Let a custom part draw its initial values from the seed and its number; restore the global generator after."""
    with borrowed_generator():
        torch.default_generator.manual_seed((1_000_003 * seed + number) % 2**64)
        yield


def check_classes(num_classes: int) -> int:
    """Refuse fewer than one class."""
    if num_classes < 1:
        raise ValueError(f"num_classes must be 1 or more, got {num_classes}")
    return num_classes


UNTOLD = re.compile(r" at 0x[0-9a-f]+|(?<=leak=)\S+ (?=\((?:mean of \d+, )?learned\))|(?<=tensor)\([^)]*\)")
"""What a printed model contains besides how it was built: addresses and learned numbers."""


def as_built(printed: str) -> str:
    """Return a printed model without addresses and learned numbers."""
    return UNTOLD.sub("", printed)


def structure(network: nn.Module) -> list[Any]:
    """Return everything that distinguishes two networks except their weights, learned leaks among them."""
    plain = (int, float, str)
    found = [
        {k: v for k, v in vars(one).items() if isinstance(v, plain) and k != "training"} for one in network.modules()
    ]
    printed = [str(network), *(str(getattr(one, "neuron", None)) for one in network.modules())]
    return [found, [as_built(text) for text in printed]]


Entry = TypeVar("Entry")
FIRE_RULES: Registry[FireRule] = Registry("fire rule", {"after": fire_after, "before": fire_before})
RESETS: Registry[Reset] = Registry("reset", {"soft": soft_reset, "hard": hard_reset})
SURROGATES: Registry[Surrogate] = Registry(
    "surrogate", {"triangle": Triangle(), "fast-sigmoid": FastSigmoid(), "arctan": ArcTan()}
)


class Builders(Registry[Callable[..., SpikingNetwork]]):
    """Builders of networks by name; a network records which builder made it, with which arguments."""

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Return a decorator that registers a builder under this name."""

        def decorate(build: Entry) -> Entry:
            builder = cast(Callable[..., SpikingNetwork], build)

            @wraps(builder)
            def recorded(*args: Any, **named: Any) -> SpikingNetwork:
                network = builder(*args, **named)
                with suppress(TypeError):  # custom functions have no name to record
                    network.built = None if args else (name, json.loads(json.dumps(named)))
                bound = signature(builder).bind(*args, **named)
                bound.apply_defaults()
                told = bound.arguments
                if "in_features" in told:
                    network.input_shape = (told["in_features"],)
                elif "image_size" in told:
                    network.input_shape = (told["in_channels"], told["image_size"], told["image_size"])
                return network

            self.add(name, recorded)
            return cast(Entry, recorded)

        return decorate


MODELS = Builders("network")
"""The spiking networks that recipes know by name; each builder takes what it must know of the samples, ``in_channels``
(and ``image_size`` if they must be square) or ``in_features``, which sequences have too."""


def create(name: str, **options: Any) -> SpikingNetwork:
    """Return a network by name, built with the keyword arguments of its builder.

    Args:
        name: one of ``bntt.models.list()``.
        **options: arguments of the builder, see :func:`~bntt.models.vgg9`.

    Raises:
        ValueError: on an unknown name; the message lists the known ones.

    >>> from bntt import models
    >>> models.create("vgg6", num_steps=4, width=0.25).num_steps, "vgg9" in models.list()
    (4, True)
    """
    return MODELS.resolve(name)(**options)


def names() -> list[str]:
    """Return the names that ``create`` knows, as ``bntt.models.list()``.

    >>> "vgg9" in names()
    True
    """
    return list(MODELS)


RELU_GAIN = 2.0**0.5
"""He's gain, which keeps the size of activations through rectifiers where no norm restores it."""
BUILDERS = ("num_classes", "num_steps", "leak", "norm", "in_channels", "image_size", "width", "seed")
"""Arguments of builders besides the neuron options."""


@dataclass(frozen=True)
class NeuronOptions:
    """The keyword arguments that every spiking builder takes as ``**options``, and recipes as keys of ``[network]``.

    Raises:
        OptionError: naming the option, what it must be, and what came.

    >>> NeuronOptions(reset="hard").fire
    'after'
    """

    neuron: Annotated[str, OneOf(NEURONS.keys)] = "lif"
    """Neurons; "relu" makes an ANN of the same architecture, num_steps = 1, and ignores leak, fire, reset, surrogate,
    and threshold unless a norm scales by it. With a norm it can start a training (`init`), without one be converted."""
    threshold: Annotated[float, Field(gt=0, lt=1_000_000)] = 1.0
    """Threshold θ."""
    fire: Annotated[str | FireRule, OneOf(FIRE_RULES.keys)] = "after"
    """Firing after integration (the paper), before it (the authors' first upload: one step of delay per layer), or your
    own rule."""
    reset: Annotated[str | Reset, OneOf(RESETS.keys)] = "soft"
    """What a spike subtracts from the potential: the threshold ("soft"), all of it ("hard"), or your own function."""
    surrogate: Annotated[str | Surrogate, OneOf(SURROGATES.keys)] = "triangle"
    """Gradient of a spike; "triangle" is the paper's Eq. 8."""
    surrogate_scale: Annotated[Annotated[float, Field(gt=0, lt=1_000_000)] | None, NoneAs(0.0)] = None
    """α of Eq. 8 (0.3 there), instead of the surrogate's own scale."""
    readout: Literal["voltage", "spikes"] = "voltage"
    """Output of the last layer: its accumulated voltage (the paper), or its spike count."""
    learn_leak: bool | Literal["layer", "channel"] = False
    """Learn the leak, starting at `leak`: one per layer (true or "layer"), or one per channel."""
    decay_input: bool = False
    """Scale the input as the membrane decays, m = λu + (1 - λ)y; with learn_leak: PLIF (Fang et al. 2021)."""
    norm_eps: Annotated[Annotated[float, Field(gt=0, lt=1)] | None, NoneAs(0.0)] = None
    """ε of every norm, instead of its own 1e-4."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of spikes dropped in training, by one mask for all steps, after hidden layers that no pooling follows; in
    residual networks, where their builders say."""

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Maker:
    """Makes the blocks of one network, which share their options."""

    num_steps: int
    leak: float
    norm_builder: NormBuilder
    options: NeuronOptions
    seed: int
    """Seed of the initial weights."""
    _parts: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)
    """Numbers of the norms and neurons made."""

    def norm(self, channels: int, alpha: float = 1.0) -> nn.Module:
        """Make a norm; ``alpha`` scales the input in norms that give it the threshold's size, as α θ."""
        options = self.options
        with seeded(self.seed, next(self._parts)):
            norm: Any = self.norm_builder(channels, self.num_steps, alpha * options.threshold)
        if options.norm_eps is not None:
            if not hasattr(norm, "eps"):
                raise ValueError(f"norm_eps={options.norm_eps}: a {type(norm).__name__} has no ε to set")
            norm.eps = options.norm_eps
        return cast(nn.Module, norm)

    def lif(self, channels: int, *, learns: bool = True) -> nn.Module:
        """Make the neurons of a layer; those of the output layer do not learn their leak."""
        options = self.options
        with seeded(self.seed, next(self._parts)):
            return NEURONS[options.neuron](
                channels,
                self.num_steps,
                self.leak,
                options.threshold,
                rule=FIRE_RULES.resolve(options.fire),
                reset=RESETS.resolve(options.reset),
                surrogate=surrogate_of(options),
                decay_input=options.decay_input,
                learn_leak=learns and ("layer" if options.learn_leak is True else options.learn_leak),
            )

    def spiking(self, synapse: nn.Module, channels: int, pool: nn.Module | None = None) -> SpikingBlock:
        """Make a block of weights, norm and neurons, with dropout if no pooling follows."""
        pools = pool is not None and any(isinstance(part, POOLS) for part in pool.modules())
        dropout = SpikeDropout(self.options.dropout) if self.options.dropout and not pools else None
        return SpikingBlock(synapse, self.norm(channels), self.lif(channels), pool, dropout)

    def current(self, synapse: nn.Module, channels: int, alpha: float = 1.0) -> CurrentBlock:
        """Make a block of weights and norm."""
        return CurrentBlock(synapse, self.norm(channels, alpha))

    def neurons(self, channels: int, pool: nn.Module | None = None, *, drops: bool = False) -> NeuronBlock:
        """Make a block of only neurons, with dropout if it ``drops``."""
        rate = self.options.dropout if drops else 0.0
        return NeuronBlock(self.lif(channels), pool, SpikeDropout(rate) if rate else None)

    def network(self, blocks: Mapping[str, nn.Module], readout: nn.Module) -> SpikingNetwork:
        """Make the network of these blocks, with initial weights."""
        counts = self.options.readout == "spikes"
        classes = [part.out_features for part in readout.modules() if isinstance(part, nn.Linear)][-1:]
        last = SpikeCount(readout, self.lif(*classes or [1], learns=False)) if counts else Readout(readout)
        network = SpikingNetwork(blocks, last)
        spikes = neuron_facts_by_name(self.options.neuron, self.num_steps).spikes
        initialize(network, self.seed, gain=2.0 if spikes else RELU_GAIN)
        return network


LEAK = {"learn_leak": ("learn_leak", False), "decay_input": ("decay_input", False)}
FIRING = {"fire": ("rule", fire_after), "reset": ("reset", soft_reset), "surrogate": ("surrogate", Triangle())}
"""Options of neurons, the argument by which they take each, and its default; an ANN's ignore those of ``FIRING``."""
POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d)


def maker(num_steps: int, leak: float, norm: str | NormBuilder, *, seed: int = 0, **options: Any) -> Maker:
    """Make a :class:`Maker` from the arguments of a builder."""
    known = [*BUILDERS, *options_of(NeuronOptions)]
    for name in options.keys() - {*known}:
        near = difflib.get_close_matches(name, known, n=1)
        way = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
        raise TypeError(f"the network's builder got an unexpected keyword argument {name!r}: {way}")
    chosen = NeuronOptions(**options)
    surrogate_of(chosen)
    builder = norm_builder(norm)
    takes, spikes = NEURONS[chosen.neuron].takes, neuron_facts_by_name(chosen.neuron, num_steps).spikes
    for option, (argument, default) in (LEAK | FIRING if spikes else LEAK).items():
        value = getattr(chosen, option)
        if value not in (getattr(NeuronOptions, option), default) and not takes(argument):
            raise ValueError(f"{option}={value!r}: neurons {chosen.neuron!r} have none")
    unused = spikes and not takes("threshold") and isinstance(builder, Kind) and not builder.takes("threshold")
    if chosen.threshold != 1 and unused:
        raise ValueError(f"threshold={chosen.threshold!r}: neurons {chosen.neuron!r} have none, and the norm neither")
    if not spikes and (num_steps != 1 or chosen.readout != "voltage"):
        why = f"one step, got num_steps={num_steps}: take num_steps=1"
        why = why if num_steps != 1 else f"no spikes to count, got readout={chosen.readout!r}"
        raise ValueError(f"an ANN (neuron={chosen.neuron!r}) has {why}")
    return Maker(num_steps, leak, builder, chosen, seed)


def surrogate_of(options: NeuronOptions) -> Surrogate:
    """Return the surrogate gradient that options name, with their scale."""
    surrogate, scale = SURROGATES.resolve(options.surrogate), options.surrogate_scale
    if scale is None:
        return surrogate
    if not hasattr(surrogate, "scale") or not is_dataclass(type(surrogate)):
        raise ValueError(f"surrogate_scale={scale}: {surrogate!r} has no scale")
    scaled: Surrogate = replace(surrogate, scale=scale)  # type: ignore[type-var]
    return scaled

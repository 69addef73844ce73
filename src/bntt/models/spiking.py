"""The steps common to all builders: weights, norms, neurons, readout, initial values; and the builders by name."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import wraps
from inspect import signature
from typing import Annotated, Any, Literal, TypeVar, cast

import torch
from pydantic import Field
from torch import nn

from bntt.nn.blocks import CurrentBlock, NeuronBlock, Readout, Residual, SpikeCount, SpikeDropout, SpikingBlock
from bntt.nn.kinds import NEURONS, NormBuilder, borrowed_generator, neuron_facts_by_name, norm_builder
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.ops.lif import FireRule, Neuron, Reset, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Surrogate, Triangle
from bntt.registry import NoneAs, OneOf, Registry, check_options


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
    if out_features < 1:  # of the readout: hidden layers have one or more
        raise ValueError(f"num_classes must be 1 or more, got {out_features}")
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
    neuron: dict[str, Any]
    """Arguments of the neurons besides sizes, leak and threshold."""
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
            given = self.neuron if learns else self.neuron | {"learn_leak": False}
            return NEURONS[options.neuron](channels, self.num_steps, self.leak, options.threshold, **given)

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


POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d)


def maker(num_steps: int, leak: float, norm: str | NormBuilder, *, seed: int = 0, **options: Any) -> Maker:
    """Make a :class:`Maker` from the arguments of a builder."""
    chosen, builder = NeuronOptions(**options), norm_builder(norm)
    takes, spikes = NEURONS[chosen.neuron].takes, neuron_facts_by_name(chosen.neuron, num_steps).spikes
    given = {
        "rule": FIRE_RULES.resolve(chosen.fire),
        "reset": RESETS.resolve(chosen.reset),
        "surrogate": surrogate_of(chosen),
        "decay_input": chosen.decay_input,
        "learn_leak": "layer" if chosen.learn_leak is True else chosen.learn_leak,
    }
    ignored = () if spikes else ("rule", "reset", "surrogate")
    for argument, usual in {**vars(Neuron()), "learn_leak": False}.items():
        if argument in given and given[argument] != usual and not takes(argument) and argument not in ignored:
            option = "fire" if argument == "rule" else argument
            raise ValueError(f"{option}={getattr(chosen, option)!r}: neurons {chosen.neuron!r} have none")
    if not spikes and (num_steps != 1 or chosen.readout != "voltage"):
        why = f"one step, got num_steps={num_steps}: take num_steps=1"
        why = why if num_steps != 1 else f"no spikes to count, got readout={chosen.readout!r}"
        raise ValueError(f"an ANN (neuron={chosen.neuron!r}) has {why}")
    return Maker(num_steps, leak, builder, chosen, given, seed)


def surrogate_of(options: NeuronOptions) -> Surrogate:
    """Return the surrogate gradient that options name, with their scale."""
    surrogate: Any = SURROGATES.resolve(options.surrogate)
    scale = options.surrogate_scale
    return cast(Surrogate, surrogate if scale is None else replace(surrogate, scale=scale))


HALVE = "halve"
"""2x2 average pooling."""
AVERAGE = "average"
"""Adaptive average pooling to 1x1."""


Plan = tuple[tuple[tuple[int, str], ...], tuple[int, ...]]
"""The channels of 3x3 convolutions, each with the pooling after it, and the sizes of hidden layers."""


def _vgg(
    make: Maker, plan: Plan, shape: tuple[int, int], width: float, num_classes: int, *, drops: bool = False
) -> SpikingNetwork:
    """Build a plan for square images ``(channels, size)``; a pooling that ``drops`` may drop an odd row and column."""
    (convolutions, hidden), (channels, size), blocks = plan, shape, dict[str, nn.Module]()
    halvings = [pooling for _, pooling in convolutions].count(HALVE)
    if size < (least := 1 << halvings) or (size % least and not drops):
        raise ValueError(
            f"image_size={size} cannot be halved {halvings} times, as this network's poolings do: it must be "
            f"{least} or more{'' if drops else f', a multiple of {least}'}"
        )
    for number, (features, pooling) in enumerate(convolutions, start=1):
        out = scaled(features, width)
        pool: nn.Module | None = None
        if pooling:
            pool, size = (nn.AvgPool2d(2), size // 2) if pooling == HALVE else (nn.AdaptiveAvgPool2d(1), 1)
        if number == len(convolutions):
            pool = nn.Sequential(pool, nn.Flatten()) if pool else nn.Flatten()
        blocks[f"conv{number}"] = make.spiking(convolution(channels, out), out, pool)
        channels = out
    return _fully_connected(make, blocks, channels * size * size, hidden, width, num_classes)


def _fully_connected(
    make: Maker, blocks: dict[str, nn.Module], features: int, hidden: Sequence[int], width: float, num_classes: int
) -> SpikingNetwork:
    """Add the hidden layers, and the readout without bias."""
    for number, size in enumerate(hidden, start=1):
        out = scaled(size, width)
        synapse = linear(features, out)
        blocks[f"fc{number}"] = make.spiking(synapse if blocks else nn.Sequential(nn.Flatten(), synapse), out)
        features = out
    return make.network(blocks, linear(features, num_classes))


VGG6 = ((16, ""), (16, HALVE), (32, ""), (32, HALVE)), (128,)
VGG9 = ((64, ""), (64, HALVE), (128, ""), (128, HALVE), (256, ""), (256, ""), (256, HALVE)), (1024,)
VGG11 = (
    ((64, HALVE), (128, HALVE), (256, ""), (256, HALVE), (512, ""), (512, HALVE), (512, ""), (512, AVERAGE)),
    (4096,),
)
DVS = ((128, ""), (128, HALVE), (384, ""), (384, HALVE)), (1024, 512)


@MODELS.register("vgg9")
def vgg9(
    *,
    num_classes: int = 10,
    num_steps: int = 25,
    leak: float = 0.95,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 3,
    image_size: int = 32,
    **options: Any,
) -> SpikingNetwork:
    """Return VGG9 (CIFAR-10): C64-C64-P-C128-C128-P-C256-C256-C256-P-FC1024-FC; 5,938,880 weights for 10 classes.

    Args:
        num_classes: K.
        num_steps: T; the norms have T rows of γ.
        leak: λ in [0, 1].
        norm: a name in ``bntt.nn.NORMS``, or a function ``(channels, num_steps, threshold) -> module``.
        width: factor on the channels of every layer.
        in_channels, image_size: of the square input; the size must be a multiple of 8.
        **options: neuron, threshold, fire, reset, surrogate, surrogate_scale, readout, learn_leak, decay_input,
            norm_eps, dropout: see :class:`~bntt.models.spiking.NeuronOptions`; and seed, of the initial weights, 0 by
            default.

    Returns:
        A network that takes spikes ``[T, B, C, H, W]`` and gives logits ``[B, K]``.

    Raises:
        ValueError: on an unknown name, or sizes that do not fit; the message says which, and what would fit.
        TypeError: on an unknown keyword argument.

    >>> sum(p.numel() for p in vgg9(num_classes=10, num_steps=25).parameters()) - 25 * 2176
    5938880
    """
    return _vgg(maker(num_steps, leak, norm, **options), VGG9, (in_channels, image_size), width, num_classes)


@MODELS.register("vgg11")
def vgg11(
    *,
    num_classes: int = 100,
    num_steps: int = 50,
    leak: float = 0.99,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 3,
    image_size: int = 32,
    **options: Any,
) -> SpikingNetwork:
    """Return VGG11 (CIFAR-100 at 32x32, Tiny-ImageNet at 64x64): eight convolutions, global average, FC4096, FC.

    C64-P-C128-P-C256-C256-P-C512-C512-P-C512-C512-AdaptiveAvg-FC(512→4096)-FC; 11.72 M weights for 100 classes.

    Args:
        num_classes, num_steps, leak, norm, width: as :func:`vgg9`'s.
        **options: likewise.
        in_channels, image_size: of the square input; the size must be a multiple of 16.

    >>> round((sum(p.numel() for p in vgg11(num_steps=2).parameters()) - 2 * 6848) / 1e6, 2)
    11.72
    """
    return _vgg(maker(num_steps, leak, norm, **options), VGG11, (in_channels, image_size), width, num_classes)


@MODELS.register("vgg6")
def vgg6(
    *,
    num_classes: int = 10,
    num_steps: int = 12,
    leak: float = 0.95,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 1,
    image_size: int = 28,
    **options: Any,
) -> SpikingNetwork:
    """Return a small VGG for 28x28 images (not in the paper): C16-C16-P-C32-C32-P-FC128-FC.

    Args:
        num_classes, num_steps, leak, norm, width: as :func:`vgg9`'s.
        **options: likewise.
        in_channels, image_size: of the square input; the size must be a multiple of 4.

    >>> vgg6(width=0.5, num_steps=4).blocks["conv1"].synapse.weight.shape
    torch.Size([8, 1, 3, 3])
    """
    return _vgg(maker(num_steps, leak, norm, **options), VGG6, (in_channels, image_size), width, num_classes)


@MODELS.register("dvs_cnn")
def dvs_cnn(
    *,
    num_classes: int = 10,
    num_steps: int = 20,
    leak: float = 0.95,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 2,
    image_size: int = 42,
    **options: Any,
) -> SpikingNetwork:
    """Return C128-C128-P-C384-C384-P-FC1024-FC512-FC for frames ``[T, B, 2, H, W]``; 41.8 M weights for 42x42.

    The paper says "similar to Wu et al. 2019" and seven layers; it gives neither a table of layers nor the leak. This
    is the CIFAR10-DVS network of Wu et al. as reviews quote it, with a linear readout in place of their voting. Pooling
    drops an odd last row and column, as PyTorch's does: 42, 21, 10.

    Args:
        num_classes, num_steps, leak, norm, width: as :func:`~bntt.models.vgg9`'s.
        **options: likewise.
        in_channels: 2, one per polarity.
        image_size: side of the square frames, 4 or more.

    >>> import torch
    >>> dvs_cnn(num_steps=3, width=0.125)(torch.ones(3, 2, 2, 42, 42)).shape
    torch.Size([2, 10])
    """
    make = maker(num_steps, leak, norm, **options)
    return _vgg(make, DVS, (in_channels, image_size), width, num_classes, drops=True)


@MODELS.register("mlp")
def mlp(
    *,
    in_features: int = 1,
    hidden: Sequence[int] = (256, 256),
    num_classes: int = 10,
    num_steps: int = 784,
    leak: float = 0.99,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    **options: Any,
) -> SpikingNetwork:
    """Return fully connected layers for sequences ``[T, B, in_features]``; one pixel per step by default.

    Inputs with more dimensions are flattened: ``[T, B, C, H, W]`` has ``C·H·W`` features. The paper does not give the
    leak of this network; 0.99 is our choice.

    Args:
        in_features: F, inputs per step.
        hidden: sizes of the hidden layers, before ``width``.
        num_classes, num_steps, leak, norm, width: as :func:`~bntt.models.vgg9`'s.
        **options: likewise.

    Raises:
        ValueError: as :func:`~bntt.models.vgg9`, or if there are no inputs or no hidden layers.

    >>> import torch
    >>> mlp(num_steps=7)(torch.ones(7, 2, 1)).shape
    torch.Size([2, 10])
    """
    if in_features < 1 or not hidden:
        raise ValueError(f"in_features must be 1 or more and hidden not empty, got {in_features} and {list(hidden)}")
    return _fully_connected(maker(num_steps, leak, norm, **options), {}, in_features, hidden, width, num_classes)


Form = Literal["basic", "sew", "ms"]
"""Where the shortcut is added: to the current before the neurons ("basic"), to the spikes after them ("sew"), or to the
current after the weights, with the neurons before them ("ms")."""
AT_SUMS = 1 / math.sqrt(2)
"""Zheng et al.'s α of the two norms whose currents are added up, so that the sum has the variance of either."""


@MODELS.register("resnet19")
def resnet19(
    *,
    num_classes: int = 10,
    num_steps: int = 6,
    leak: float = 0.5,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 3,
    alpha_at_sums: float = AT_SUMS,
    **options: Any,
) -> SpikingNetwork:
    """Return ResNet-19 (Zheng et al. 2021): C128, residual blocks 3 x 128, 3 x 256, 2 x 512, average, FC256, FC.

    A block has two 3x3 convolutions. Its input (spikes) is added to the current of the second one before the neurons;
    if the shape changes, a strided 1x1 convolution and a norm come between. Any image size works.

    Public implementations agree on these layers, except for the first one's channels: 128 here, 64 in some (12.63 M
    weights, the number that papers print). They do not normalise FC256; here it has the norm of all other layers.

    A gradient passes one surrogate per block: Eq. 8's, at most 0.3, leaves little of it after eight blocks, and
    ``surrogate="arctan"``, at most 1, trains so deep a network sooner.

    Args:
        num_classes, num_steps, leak, norm, width, in_channels: as :func:`~bntt.models.vgg9`'s.
        alpha_at_sums: α of the norms before a sum, for norms that scale the drive by α θ (tdBN, scaled BNTT); 1/√2 in
            public implementations. Other norms ignore it.
        **options: as :func:`~bntt.models.vgg9`'s; dropout follows conv1, every block's first convolution and FC256.

    >>> net = resnet19(num_classes=10, num_steps=2, norm="none")
    >>> round(sum(p.numel() for p in net.parameters()) / 1e6, 2)
    12.69
    """
    make = maker(num_steps, leak, norm, **options)
    stages = [(scaled(channels, width), blocks) for channels, blocks in ((128, 3), (256, 3), (512, 2))]
    end, hidden = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), scaled(256, width)
    blocks = _body(make, in_channels, stages, "basic", end, alpha_at_sums)
    blocks["fc1"] = make.spiking(linear(stages[-1][0], hidden), hidden)
    return make.network(blocks, linear(hidden, num_classes))


@MODELS.register("resnet20")
def resnet20(
    *,
    num_classes: int = 10,
    num_steps: int = 6,
    leak: float = 0.5,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 3,
    residual: Form = "basic",
    alpha_at_sums: float = AT_SUMS,
    **options: Any,
) -> SpikingNetwork:
    """Return He et al.'s (2016) residual network for small images: C16, three blocks each of 16, 32, 64, average, FC.

    If the shape changes, the shortcut is a strided 1x1 convolution and its norm, as in published spiking networks (He
    et al. pad with zeros).

    Args:
        num_classes, num_steps, leak, norm, width, in_channels: as :func:`~bntt.models.vgg9`'s.
        residual: "basic" adds currents before the neurons (Zheng et al. 2021); "sew" adds spikes after them (Fang et
            al. 2021; the readout averages the sums, which nothing re-spikes); "ms" adds currents, with the neurons
            before the weights (Hu et al. 2021). They start γ of every second norm at 0; here it starts at 1: a BNTT
            without β would begin silent.
        alpha_at_sums: as :func:`resnet19`'s, only for "basic": "sew" adds no currents, and α is 1 in all of "ms".
        **options: as :func:`~bntt.models.vgg9`'s; dropout follows the first convolution of every block, in "basic" and
            "sew" also conv1, in "sew" also the second convolution and the shortcut's.

    Raises:
        ValueError: on an unknown ``residual``, or an ``alpha_at_sums`` for a form that has none.

    >>> round(sum(p.numel() for p in resnet20(num_steps=2, norm="none").parameters()) / 1e6, 2)
    0.27
    """
    if residual not in ("basic", "sew", "ms"):
        raise ValueError(f"residual must be 'basic', 'sew' or 'ms', got {residual!r}")
    if residual != "basic" and alpha_at_sums != AT_SUMS:
        raise ValueError(f"alpha_at_sums={alpha_at_sums:g}: residual={residual!r} has none, only 'basic': leave it out")
    make = maker(num_steps, leak, norm, **options)
    stages = [(scaled(channels, width), 3) for channels in (16, 32, 64)]
    end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    blocks = _body(make, in_channels, stages, residual, end, alpha_at_sums)
    readout = linear(stages[-1][0], num_classes)
    return make.network(blocks, nn.Sequential(*end, readout) if residual == "sew" else readout)


def _body(
    make: Maker, in_channels: int, stages: Sequence[tuple[int, int]], form: Form, end: nn.Module, alpha: float
) -> dict[str, nn.Module]:
    """Make the stem and the blocks of every stage, all but the first of which halve the image; ``end`` pools spikes."""
    channels, first = stages[0][0], make.current if form == "ms" else make.spiking
    blocks: dict[str, nn.Module] = {"conv1": first(convolution(in_channels, channels), channels)}
    shapes = [(out, 2 if stage and not number else 1) for stage, (out, n) in enumerate(stages) for number in range(n)]
    for number, (out, stride) in enumerate(shapes, start=1):
        pool = end if number == len(shapes) else None
        blocks[f"block{number}"] = residual_block(make, channels, out, stride, form, pool, alpha)
        channels = out
    if form == "ms":
        blocks["last"] = make.neurons(channels, end)
    return blocks


def residual_block(
    make: Maker, channels: int, out: int, stride: int, form: Form, pool: nn.Module | None, alpha: float
) -> Residual:
    """Make a block of two 3x3 convolutions, the first strided; ``pool`` follows the neurons of the "basic" form."""
    first, second = convolution(channels, out, stride=stride), convolution(out, out)
    changes = stride != 1 or channels != out
    beside = convolution(channels, out, 1, stride) if changes else None
    if form == "sew":
        body = {"conv1": make.spiking(first, out), "conv2": make.spiking(second, out)}
        return Residual(body, None if beside is None else {"shortcut": make.spiking(beside, out)})
    if form == "ms":
        pre = {"lif1": make.neurons(channels), "conv1": make.current(first, out)}
        body_ms = {**pre, "lif2": make.neurons(out, drops=True), "conv2": make.current(second, out)}
        return Residual(body_ms, None if beside is None else {"shortcut": make.current(beside, out)})
    basic = {"conv1": make.spiking(first, out), "conv2": make.current(second, out, alpha)}
    shortcut = None if beside is None else {"shortcut": make.current(beside, out, alpha)}
    return Residual(basic, shortcut, make.neurons(out, pool))


STEM = 32
STAGES = ((64, False), (128, True), (256, True))
"""Channels of a stage's convolution, and whether a residual pair follows."""


@MODELS.register("compact")
def compact(
    *,
    num_classes: int = 10,
    num_steps: int = 2,
    leak: float = 0.5,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 3,
    **options: Any,
) -> SpikingNetwork:
    """Return C32-P-C64-P-C128-R128-P-C256-R256-average-FC (not in the paper); 1.87 M weights for 10 classes.

    P is 2x2 average pooling, R a pair of 3x3 convolutions whose input (spikes) is added to the current of the second
    one before its neurons, as in :func:`~bntt.models.resnet19`. Spikes of a sample::

        [S, 3, 32, 32] -> conv1 [S, 32, 16, 16] -> conv2 [S, 64, 8, 8] -> conv3, pair3 [S, 128, 4, 4]
                       -> conv4, pair4 [S, 256] -> logits [K]

    Args:
        num_classes, num_steps, leak, norm, width, in_channels: as :func:`~bntt.models.vgg9`'s; images may have any
            size from 8x8 on; pooling drops an odd last row and column.
        **options: as :func:`~bntt.models.vgg9`'s; dropout follows the convolutions before a sum.

    >>> net = compact(num_steps=2)
    >>> list(net.blocks)
    ['conv1', 'conv2', 'conv3', 'pair3', 'conv4', 'pair4']
    """
    make, channels = maker(num_steps, leak, norm, **options), scaled(STEM, width)
    blocks: dict[str, nn.Module] = {
        "conv1": make.spiking(convolution(in_channels, channels), channels, nn.AvgPool2d(2))
    }
    for number, (features, has_pair) in enumerate(STAGES, start=2):
        last, out = number == len(STAGES) + 1, scaled(features, width)
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()) if last else nn.AvgPool2d(2)
        blocks[f"conv{number}"] = make.spiking(convolution(channels, out), out, None if has_pair else pool)
        if has_pair:
            blocks[f"pair{number}"] = residual_block(make, out, out, 1, "basic", pool, AT_SUMS)
        channels = out
    return make.network(blocks, linear(channels, num_classes))

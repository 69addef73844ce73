"""Networks that are chains of layers, the paper's among them; and residual ones, ResNet-19 of Zheng et al. (2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from bntt.models.spiking import MODELS, Maker, check_classes, convolution, linear, maker, scaled
from bntt.nn.blocks import Residual
from bntt.nn.kinds import NormBuilder
from bntt.nn.network.spiking_network import SpikingNetwork

HALVE = "halve"
"""2x2 average pooling."""
AVERAGE = "average"
"""Adaptive average pooling to 1x1."""


@dataclass(frozen=True)
class VGGPlan:
    """3x3 convolutions, each with the pooling after it, then hidden layers; the classes determine the output."""

    features: tuple[tuple[int, str], ...]
    hidden: tuple[int, ...]
    drops: bool = False
    """True if a pooling may drop an odd last row and column."""


def _vgg(make: Maker, plan: VGGPlan, channels: int, size: int, width: float, num_classes: int) -> SpikingNetwork:
    """Build a plan for square images of this size."""
    blocks = dict[str, nn.Module]()
    halvings = [pooling for _, pooling in plan.features].count(HALVE)
    if size < (least := 1 << halvings) or (size % least and not plan.drops):
        raise ValueError(
            f"image_size={size} cannot be halved {halvings} times, as this network's poolings do: it must be "
            f"{least} or more{'' if plan.drops else f', a multiple of {least}'}"
        )
    for number, (features, pooling) in enumerate(plan.features, start=1):
        out = scaled(features, width)
        pool: nn.Module | None = None
        if pooling:
            pool, size = (nn.AvgPool2d(2), size // 2) if pooling == HALVE else (nn.AdaptiveAvgPool2d(1), 1)
        if number == len(plan.features):
            pool = nn.Sequential(pool, nn.Flatten()) if pool else nn.Flatten()
        blocks[f"conv{number}"] = make.spiking(convolution(channels, out), out, pool)
        channels = out
    return _fully_connected(make, blocks, channels * size * size, plan.hidden, width, num_classes)


def _fully_connected(
    make: Maker, blocks: dict[str, nn.Module], features: int, hidden: Sequence[int], width: float, num_classes: int
) -> SpikingNetwork:
    """Add the hidden layers, and the readout without bias."""
    for number, size in enumerate(hidden, start=1):
        out = scaled(size, width)
        synapse = linear(features, out)
        blocks[f"fc{number}"] = make.spiking(synapse if blocks else nn.Sequential(nn.Flatten(), synapse), out)
        features = out
    return make.network(blocks, linear(features, check_classes(num_classes)))


VGG6 = VGGPlan(((16, ""), (16, HALVE), (32, ""), (32, HALVE)), hidden=(128,))
VGG9 = VGGPlan(((64, ""), (64, HALVE), (128, ""), (128, HALVE), (256, ""), (256, ""), (256, HALVE)), hidden=(1024,))
VGG11 = VGGPlan(
    ((64, HALVE), (128, HALVE), (256, ""), (256, HALVE), (512, ""), (512, HALVE), (512, ""), (512, AVERAGE)),
    hidden=(4096,),
)


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
        TypeError: on an unknown keyword argument; the message names the nearest.

    >>> sum(p.numel() for p in vgg9(num_classes=10, num_steps=25).parameters()) - 25 * 2176
    5938880
    """
    return _vgg(maker(num_steps, leak, norm, **options), VGG9, in_channels, image_size, width, num_classes)


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
        num_classes, num_steps, leak, norm, width, **options: as :func:`vgg9`'s.
        in_channels, image_size: of the square input; the size must be a multiple of 16.

    >>> round((sum(p.numel() for p in vgg11(num_steps=2).parameters()) - 2 * 6848) / 1e6, 2)
    11.72
    """
    return _vgg(maker(num_steps, leak, norm, **options), VGG11, in_channels, image_size, width, num_classes)


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
        num_classes, num_steps, leak, norm, width, **options: as :func:`vgg9`'s.
        in_channels, image_size: of the square input; the size must be a multiple of 4.

    >>> vgg6(width=0.5, num_steps=4).blocks["conv1"].synapse.weight.shape
    torch.Size([8, 1, 3, 3])
    """
    return _vgg(maker(num_steps, leak, norm, **options), VGG6, in_channels, image_size, width, num_classes)


DVS = VGGPlan(((128, ""), (128, HALVE), (384, ""), (384, HALVE)), hidden=(1024, 512), drops=True)


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
        num_classes, num_steps, leak, norm, width, **options: as :func:`~bntt.models.vgg9`'s.
        in_channels: 2, one per polarity.
        image_size: side of the square frames, 4 or more.

    >>> import torch
    >>> dvs_cnn(num_steps=3, width=0.125)(torch.ones(3, 2, 2, 42, 42)).shape
    torch.Size([2, 10])
    """
    return _vgg(maker(num_steps, leak, norm, **options), DVS, in_channels, image_size, width, num_classes)


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
        num_classes, num_steps, leak, norm, width, **options: as :func:`~bntt.models.vgg9`'s.

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
    return make.network(blocks, linear(hidden, check_classes(num_classes)))


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
    readout = linear(stages[-1][0], check_classes(num_classes))
    return make.network(blocks, nn.Sequential(*end, readout) if residual == "sew" else readout)


def _body(
    make: Maker, in_channels: int, stages: Sequence[tuple[int, int]], form: Form, end: nn.Module, alpha: float
) -> dict[str, nn.Module]:
    """Make the stem and the blocks of every stage, all but the first of which halve the image; ``end`` pools spikes."""
    channels = stages[0][0]
    stem = convolution(in_channels, channels)
    blocks: dict[str, nn.Module] = {
        "conv1": make.current(stem, channels) if form == "ms" else make.spiking(stem, channels)
    }
    places = [(stage, number) for stage, (_, count) in enumerate(stages) for number in range(count)]
    for stage, number in places:
        out, stride = stages[stage][0], 2 if stage > 0 and number == 0 else 1
        pool = end if (stage, number) == places[-1] else None
        blocks[f"block{len(blocks)}"] = residual_block(make, channels, out, stride, form, pool, alpha)
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
    return make.network(blocks, linear(channels, check_classes(num_classes)))

"""Networks that are chains of layers: the paper's convolutional ones, one for event frames, one fully connected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from bntt.models.spiking import MODELS, HiddenLayer, convolution, linear, scaled, spiking_network
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


def vgg_layers(plan: VGGPlan, *, in_channels: int, image_size: int, width: float) -> Iterator[HiddenLayer]:
    """Yield the hidden layers of a plan, uninitialised; ``width`` multiplies every number of channels."""
    halvings = [pooling for _, pooling in plan.features].count(HALVE)
    if image_size < (least := 1 << halvings) or (image_size % least and not plan.drops):
        raise ValueError(
            f"image_size={image_size} cannot be halved {halvings} times, as this network's poolings do: it must be "
            f"{least} or more{'' if plan.drops else f', a multiple of {least}'}"
        )
    channels, size = in_channels, image_size
    for number, (features, pooling) in enumerate(plan.features, start=1):
        out = scaled(features, width)
        pool: nn.Module | None = None
        if pooling:
            pool, size = (nn.AvgPool2d(2), size // 2) if pooling == HALVE else (nn.AdaptiveAvgPool2d(1), 1)
        if number == len(plan.features):
            pool = nn.Sequential(pool, nn.Flatten()) if pool else nn.Flatten()
        yield HiddenLayer(f"conv{number}", convolution(channels, out), out, pool)
        channels = out
    yield from _fully_connected(channels * size * size, plan.hidden, width)


def _fully_connected(features: int, sizes: Sequence[int], width: float) -> Iterator[HiddenLayer]:
    for number, hidden in enumerate(sizes, start=1):
        out = scaled(hidden, width)
        yield HiddenLayer(f"fc{number}", linear(features, out), out, None)
        features = out


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
    layers = vgg_layers(VGG9, in_channels=in_channels, image_size=image_size, width=width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)


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
    layers = vgg_layers(VGG11, in_channels=in_channels, image_size=image_size, width=width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)


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
    layers = vgg_layers(VGG6, in_channels=in_channels, image_size=image_size, width=width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)


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
    layers = vgg_layers(DVS, in_channels=in_channels, image_size=image_size, width=width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)


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
    first, *others = _fully_connected(in_features, hidden, width)
    layers = [first._replace(synapse=nn.Sequential(nn.Flatten(), first.synapse)), *others]
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)

"""The network for frames of an event camera: seven layers, similar to Wu et al. 2019."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from bntt.models.plan import HiddenLayer, convolution, linear, scaled
from bntt.models.spiking import MODELS, spiking_network
from bntt.nn.kinds import NormBuilder
from bntt.nn.network.spiking_network import SpikingNetwork

CONVOLUTIONS = (128, 128, 384, 384)
"""Channels; the second and the fourth are followed by 2x2 average pooling."""
HIDDEN = (1024, 512)


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
        **options: as :func:`~bntt.models.vgg9`'s.
        in_channels: 2, one per polarity.
        image_size: side of the square frames, 4 or more.

    >>> import torch
    >>> dvs_cnn(num_steps=3, width=0.125)(torch.ones(3, 2, 2, 42, 42)).shape
    torch.Size([2, 10])
    """
    layers = _layers(in_channels, image_size, width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)


def _layers(channels: int, size: int, width: float) -> Iterator[HiddenLayer]:
    if channels < 1 or size < 4:
        raise ValueError(f"in_channels must be 1 or more and image_size 4 or more, got {channels} and {size}")
    for number, features in enumerate(CONVOLUTIONS, start=1):
        out = scaled(features, width)
        halves, last = number % 2 == 0, number == len(CONVOLUTIONS)
        pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten()) if last else nn.AvgPool2d(2) if halves else None
        yield HiddenLayer(f"conv{number}", convolution(channels, out), out, pool)
        channels, size = out, size // 2 if halves else size
    features = channels * size * size
    for number, hidden in enumerate(HIDDEN, start=1):
        out = scaled(hidden, width)
        yield HiddenLayer(f"fc{number}", linear(features, out), out, None)
        features = out

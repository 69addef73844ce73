"""A small residual network: one core trains it on CIFAR-10 in two hours. Most work is in layers with small images."""

from __future__ import annotations

from typing import Any

from torch import nn

from bntt.models.plan import check_classes, convolution, linear, scaled
from bntt.models.resnet import AT_SUMS, residual_block
from bntt.models.spiking import MODELS, maker
from bntt.nn.kinds import NormBuilder
from bntt.nn.network.spiking_network import SpikingNetwork

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
    one before its neurons, as in :func:`~bntt.models.resnet19`. Pooling follows the pair. A 32x32 image takes 53 M
    multiplications per step, a 28x28 image of one channel 35 M. Spikes of a sample::

        [S, 3, 32, 32] -> conv1 [S, 32, 16, 16] -> conv2 [S, 64, 8, 8] -> conv3, pair3 [S, 128, 4, 4]
                       -> conv4, pair4 [S, 256] -> logits [K]

    With ``neuron="relu", num_steps=1`` it is the ANN of the same architecture, which also takes any norm.

    Args:
        num_classes, num_steps, leak, norm, width, in_channels: as :func:`~bntt.models.vgg9`'s; images may have any
            size from 8x8 on; pooling drops an odd last row and column.
        **options: as :func:`~bntt.models.vgg9`'s; dropout follows the convolutions before a sum.

    Raises:
        ValueError: as :func:`~bntt.models.vgg9`, or if ``in_channels`` is below 1.

    >>> net = compact(num_steps=2)
    >>> list(net.blocks)
    ['conv1', 'conv2', 'conv3', 'pair3', 'conv4', 'pair4']
    """
    if in_channels < 1:
        raise ValueError(f"in_channels must be 1 or more, got {in_channels}")
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

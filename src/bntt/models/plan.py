"""Layer plans: the widths of a network as data, from which the builders make layers, spiking or not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from bntt.nn.kinds import borrowed_generator

HALVE = "halve"
"""2x2 average pooling."""
AVERAGE = "average"
"""Adaptive average pooling to 1x1."""


@dataclass(frozen=True)
class VGGPlan:
    """3x3 convolutions and poolings in order, then one hidden layer; the classes determine the output layer."""

    features: tuple[int | str, ...]
    hidden: int


class HiddenLayer(NamedTuple):
    """One hidden layer: weights, their number of output channels, and the pooling after the activation."""

    name: str
    synapse: nn.Module
    channels: int
    pool: nn.Module | None


def vgg_layers(plan: VGGPlan, *, in_channels: int, image_size: int, width: float) -> Iterator[HiddenLayer]:
    """Yield the hidden layers of a plan, uninitialised; ``width`` multiplies every number of channels."""
    halvings = plan.features.count(HALVE)
    if image_size < 1 or image_size % (1 << halvings):
        raise ValueError(
            f"image_size={image_size} cannot be halved {halvings} times, as this network's poolings do: "
            f"it must be a multiple of {1 << halvings}"
        )
    if in_channels < 1:
        raise ValueError(f"in_channels must be 1 or more, got {in_channels}")
    channels, size = in_channels, image_size
    last = max(i for i, item in enumerate(plan.features) if isinstance(item, int))
    number = 0
    for i, item in enumerate(plan.features):
        if not isinstance(item, int):
            continue
        number += 1
        out = scaled(item, width)
        follow = plan.features[i + 1] if i + 1 < len(plan.features) else None
        steps: list[nn.Module] = []
        if follow == HALVE:
            steps, size = [nn.AvgPool2d(2)], size // 2
        elif follow == AVERAGE:
            steps, size = [nn.AdaptiveAvgPool2d(1)], 1
        if i == last:
            steps.append(nn.Flatten())
        pool = nn.Sequential(*steps) if len(steps) > 1 else (steps[0] if steps else None)
        yield HiddenLayer(f"conv{number}", convolution(channels, out), out, pool)
        channels = out
    hidden = scaled(plan.hidden, width)
    yield HiddenLayer("fc1", linear(channels * size * size, hidden), hidden, None)


def scaled(channels: int, width: float) -> int:
    """Return ``channels`` times the width multiplier, rounded, at least 1."""
    if not 0 < width < math.inf:
        raise ValueError(f"width must be a number above 0, got {width}")
    return max(1, round(channels * width))


def convolution(in_channels: int, out_channels: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias, ``size`` odd, padded so that stride 1 keeps an image's size."""
    conv: nn.Conv2d = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, in_channels, out_channels, size, stride=stride, padding=size // 2, bias=False
    )
    return conv


def linear(in_features: int, out_features: int) -> nn.Linear:
    """Make a linear layer without bias; its weights are allocated but have no values until :func:`initialize`."""
    layer: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, in_features, out_features, bias=False
    )
    return layer


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

"""What every layer's weights are given: images of which size, and what one spike is worth there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import nn

from bntt.analysis.energy.fan_out import out_size
from bntt.nn.blocks.block import CurrentBlock, NeuronBlock, SpikingBlock
from bntt.nn.blocks.dropout import SpikeDropout
from bntt.nn.blocks.readout import Readout
from bntt.nn.blocks.residual import Residual
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons.rectifier import Rectifier

READOUT = "readout"
"""What the last weights are called beside the layers."""


class Value(NamedTuple):
    """What flows between two modules, of one image and step."""

    shape: tuple[int, ...]
    """``(C, H, W)`` or ``(F,)``."""
    worth: Fraction | None
    """Of one spike: 1/A after an average over A places. None: these are no spikes."""

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Site:
    """Where a layer's weights, if it has any, or else its neurons are."""

    into: Value
    """What arrives."""
    out: tuple[int, ...]
    """The shape of the weights' output, or of the neurons."""
    weights: nn.Conv2d | nn.Linear | None
    norm: nn.Module | None = None
    lif: nn.Module | None = None


def sites(network: SpikingNetwork, image: Sequence[int], worth: Fraction | None) -> dict[str, Site]:
    """Every layer of a network by its name, and the readout, in evaluation mode.

    Args:
        image: the shape of one sample in one step.
        worth: 1 where the network is driven by spikes, None where by real numbers.

    Raises:
        TypeError: on a block, a pool or a readout that is none of the library's or PyTorch's own.
        ValueError: if a layer is called as the readout is here.

    >>> from bntt.models import vgg6
    >>> found = sites(vgg6(num_steps=2), (1, 28, 28), Fraction(1))
    >>> found["conv3"].into
    Value(shape=(16, 14, 14), worth=Fraction(1, 4))
    """
    found: dict[str, Site] = {}
    if READOUT in network.layers:
        raise ValueError(f"a layer is called {READOUT!r}, as the last weights are: give its block another name")
    at = _through("", dict(network.blocks.items()), Value(tuple(image), worth), found)
    if not isinstance(network.readout, Readout):
        raise TypeError(f"operations are counted of a Readout, this one is a {type(network.readout).__name__}")
    _weighted(READOUT, network.readout, at, found)
    return found


def _through(under: str, parts: Mapping[str, Any], at: Value, found: dict[str, Site]) -> Value:
    """Blocks one behind another."""
    for name, part in parts.items():
        at = _block(f"{under}.{name}".lstrip("."), part, at, found)
    return at


def _block(name: str, block: nn.Module, at: Value, found: dict[str, Site]) -> Value:
    if isinstance(block, Residual):
        body, beside = (_through(name, dict(side.items()), at, found) for side in (block.body, block.shortcut))
        at = Value(body.shape, body.worth if body.worth == beside.worth else None)
        return at if block.after is None else _block(f"{name}.after", block.after, at, found)
    if isinstance(block, SpikingBlock | CurrentBlock):
        at = _weighted(name, block, at, found)
    elif isinstance(block, NeuronBlock):
        found[name] = Site(at, at.shape, None, lif=block.lif)
    else:
        raise TypeError(f"block {name!r} is a {type(block).__name__}, whose operations cannot be counted: {WAY}")
    if isinstance(block, CurrentBlock):
        return at
    worth = None if isinstance(block.lif, Rectifier) else Fraction(1)
    return _fired(name, block, Value(at.shape, worth))


WAY = "build it of SpikingBlock, CurrentBlock, NeuronBlock and Residual"


def _fired(name: str, block: SpikingBlock | NeuronBlock, at: Value) -> Value:
    """What leaves a block whose neurons fire."""
    if block.dropout is not None and not isinstance(block.dropout, SpikeDropout):
        raise TypeError(f"block {name!r} has a {type(block.dropout).__name__}, whose operations cannot be counted")
    for module in _parts(block.pool):
        at = _pooled(name, module, at)
    return at


def _weighted(name: str, block: Any, at: Value, found: dict[str, Site]) -> Value:
    """Through the weights of a block, and what stands before them."""
    *before, weights = _parts(block.synapse)
    for module in before:
        at = _pooled(name, module, at)
    if isinstance(weights, nn.Linear):
        out: tuple[int, ...] = (weights.out_features,)
    elif isinstance(weights, nn.Conv2d):
        out = (weights.out_channels, *out_size(weights, (at.shape[1], at.shape[2])))
    else:
        raise TypeError(f"layer {name!r} has weights in a {type(weights).__name__}, not an nn.Conv2d or nn.Linear")
    found[name] = Site(at, out, weights, getattr(block, "norm", None), getattr(block, "lif", None))
    return Value(out, None)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _parts(part)
    else:
        yield module


def _pooled(name: str, pool: nn.Module, at: Value) -> Value:
    """What a module without weights makes of spikes; of an average every spike is a part."""
    if isinstance(pool, nn.Identity):
        return at
    if not isinstance(pool, nn.Flatten | nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        raise TypeError(f"layer {name!r} has a {type(pool).__name__}, behind which spikes cannot be counted")
    shape = tuple(pool(torch.zeros(1, *at.shape)).shape[1:])
    if isinstance(pool, nn.Flatten | nn.MaxPool2d) or at.worth is None:
        return Value(shape, at.worth)
    return Value(shape, at.worth / _area(name, pool, at.shape, shape))


def _area(name: str, pool: nn.AvgPool2d | nn.AdaptiveAvgPool2d, into: Sequence[int], out: Sequence[int]) -> int:
    """Over how many places an average is taken.

    Raises:
        TypeError: if they are not as many everywhere.
    """
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        sides = list(zip(into[1:], out[1:], strict=True))
        area, even = math.prod(n // m for n, m in sides), not any(n % m for n, m in sides)
    else:
        down, across = (pool.kernel_size,) * 2 if isinstance(pool.kernel_size, int) else pool.kernel_size
        padded = pool.padding not in (0, (0, 0)) and not pool.count_include_pad
        area, even = down * across, not (pool.ceil_mode or padded)
        if pool.divisor_override is not None:
            area, even = pool.divisor_override, True
    if not even:
        raise TypeError(f"layer {name!r} averages over windows of several sizes, behind which spikes cannot be counted")
    return area

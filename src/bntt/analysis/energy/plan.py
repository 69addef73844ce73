"""The plan of a network for counting its operations: every layer's input, weights and neurons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bntt.nn.blocks.block import SpikeDropout
from bntt.nn.kinds import block_facts, neuron_facts, norm_facts
from bntt.nn.network.spiking_network import SpikingNetwork

READOUT = "readout"
"""Name of the last weights in plans of layers."""


class Value(NamedTuple):
    """The values that flow between two modules, for one image and step."""

    shape: tuple[int, ...]
    """``(C, H, W)`` or ``(F,)``."""
    worth: Fraction | None
    """Worth of one spike: 1/A after an average over A places. None: the values are not spikes."""


@dataclass(frozen=True)
class PlannedLayer:
    """A layer's weights, if it has any, and its neurons."""

    into: Value
    out: tuple[int, ...]
    """The shape of the weights' output, or of the neurons."""
    weights: nn.Conv2d | nn.Linear | None
    norm: nn.Module | None = None
    lif: nn.Module | None = None

    @property
    def connections(self) -> int:
        """Σ over input values of the weights that each meets: the multiply-accumulates of an ANN in one pass."""
        if self.weights is None:
            return 0
        reach = fan_out(self.weights, self.into.shape)
        return int(reach.sum()) * (math.prod(self.into.shape) // reach.numel())


def plan_layers(network: SpikingNetwork, image: Sequence[int], worth: Fraction | None) -> dict[str, PlannedLayer]:
    """Plan every layer and the readout by name; ``worth`` of the input is 1 for spikes, None for real numbers."""
    if READOUT in network.layers:
        raise ValueError(f"a layer is called {READOUT!r}, as the last weights are: give its block another name")
    if block_facts(network.readout).form != "readout":
        raise TypeError(f"operations can be counted only for a Readout, this one is a {type(network.readout).__name__}")
    found: dict[str, PlannedLayer] = {}
    at = _plan_blocks("", network.blocks, Value(tuple(image), worth), found)
    _plan_weights(READOUT, network.readout, at, found)
    return found


def _plan_blocks(under: str, parts: Any, at: Value, found: dict[str, PlannedLayer]) -> Value:
    """Pass a value through consecutive blocks."""
    for name, part in parts.items():
        at = _plan_block(f"{under}.{name}".lstrip("."), part, at, found)
    return at


def _plan_block(name: str, block: Any, at: Value, found: dict[str, PlannedLayer]) -> Value:
    form = block_facts(block).form
    if form == "sum":
        body, beside = (_plan_blocks(name, side, at, found) for side in (block.body, block.shortcut))
        at = Value(body.shape, body.worth if body.worth == beside.worth else None)
        return at if block.after is None else _plan_block(f"{name}.after", block.after, at, found)
    if form != "layer":
        raise TypeError(
            f"block {name!r} is a {type(block).__name__}, whose operations cannot be counted: "
            f"build it of SpikingBlock, CurrentBlock, NeuronBlock and Residual"
        )
    if block.synapse is None:
        found[name] = PlannedLayer(at, at.shape, None, lif=block.lif)
    else:
        at = _plan_weights(name, block, at, found)
    if block.lif is None:
        return at
    if block.dropout is not None and not isinstance(block.dropout, SpikeDropout):
        raise TypeError(f"block {name!r} has a {type(block.dropout).__name__}, whose operations cannot be counted")
    fired = Value(at.shape, Fraction(1) if neuron_facts(block.lif).spikes else None)
    return _plan_pools(name, _parts(block.pool), fired)


def _plan_weights(name: str, block: Any, at: Value, found: dict[str, PlannedLayer]) -> Value:
    """Pass a value through the weights of a block, and the modules before them."""
    *before, weights = _parts(block.synapse)
    if not isinstance(weights, nn.Conv2d | nn.Linear):
        raise TypeError(f"the weights of {name!r} end in {type(weights).__name__}: nn.Conv2d or nn.Linear must be last")
    at = _plan_pools(name, before, at)
    if isinstance(weights, nn.Linear):
        out: tuple[int, ...] = (weights.out_features,)
    else:
        out = (weights.out_channels, *_convolved(weights, torch.empty(at.shape[1:], device="meta")).shape)
    found[name] = PlannedLayer(at, out, weights, getattr(block, "norm", None), getattr(block, "lif", None))
    return Value(out, None)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _parts(part)
    else:
        yield module


def _plan_pools(name: str, pools: Iterable[nn.Module], at: Value) -> Value:
    """Pass a value through modules without weights: in an average, every spike counts as a fraction."""
    for pool in pools:
        if isinstance(pool, nn.Identity):
            continue
        if not isinstance(pool, nn.Flatten | nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            raise TypeError(f"layer {name!r} has a {type(pool).__name__}, behind which spikes cannot be counted")
        shape, worth = tuple(pool(torch.empty(1, *at.shape, device="meta")).shape[1:]), at.worth
        if worth is not None and isinstance(pool, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            worth /= _area(name, pool, at.shape, shape)
        at = Value(shape, worth)
    return at


def _area(name: str, pool: nn.AvgPool2d | nn.AdaptiveAvgPool2d, into: Sequence[int], out: Sequence[int]) -> int:
    """Return the number of places over which an average is taken."""
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        sides = list(zip(into[1:], out[1:], strict=True))
        area, even = math.prod(n // m for n, m in sides), not any(n % m for n, m in sides)
    elif pool.divisor_override is not None:
        area, even = pool.divisor_override, True
    else:
        kernel, padded = pool.kernel_size, pool.padding not in (0, (0, 0)) and not pool.count_include_pad
        area, even = kernel**2 if isinstance(kernel, int) else math.prod(kernel), not (pool.ceil_mode or padded)
    if not even:
        raise TypeError(f"layer {name!r} averages over windows of several sizes, behind which spikes cannot be counted")
    return area


def fan_out(weights: nn.Conv2d | nn.Linear, shape: Sequence[int]) -> Int64[Tensor, "H W"]:
    """Count the weights that a value meets at each place of an input ``(C, H, W)``; one of ``(F,)`` has one place."""
    if isinstance(weights, nn.Linear):
        return torch.full(shape[1:] if len(shape) == 3 else (1, 1), weights.out_features)
    with torch.inference_mode(False), torch.enable_grad():
        image = torch.zeros(shape[1:], dtype=torch.float64, requires_grad=True)
        (pairs,) = torch.autograd.grad(_convolved(weights, image).sum(), image)
    return weights.out_channels // weights.groups * pairs.long()


def _convolved(weights: nn.Conv2d, image: Tensor) -> Tensor:
    """Convolve one channel ``[H, W]`` with weights of 1."""
    if weights.padding_mode != "zeros":
        raise TypeError(
            f"operations can be counted only for convolutions that pad with zeros, this one has {weights.padding_mode}"
        )
    ones = image.new_ones(1, 1, *weights.kernel_size)
    return conv2d(image[None, None], ones, None, weights.stride, weights.padding, weights.dilation)[0, 0]


def macs_of(layers: Iterable[PlannedLayer]) -> int:
    """Count the multiply-accumulates of one sample in one step, including those on padding."""
    return sum(math.prod(one.out) * one.weights.weight[0].numel() for one in layers if one.weights is not None)


@dataclass(frozen=True)
class Updates:
    """Operations of one layer for one image, other than those of its weights."""

    multiplications: Float64[Tensor, " T"]
    additions: Float64[Tensor, " T"]
    ann: int
    """Additions of an ANN in its one pass: a bias, which includes the norm, and the comparison of ReLU."""


def updates_of(layer: PlannedLayer, spikes: Float64[Tensor, " T"]) -> Updates:
    """Count the operations of one layer other than those of its weights, given its own spikes by step."""
    biased = layer.weights is not None and layer.weights.bias is not None
    norm = norm_facts(layer.norm)
    multiplications, additions = (0, int(biased)) if norm.identity else norm.operations
    ann, resets = int(biased or additions > 0), 0
    if layer.lif is not None:
        neurons = neuron_facts(layer.lif)
        scales, adds, resets = neurons.operations
        scales += norm.identity and neurons.scales_input
        multiplications, additions, ann = multiplications + scales, additions + adds, ann + 1
    size, none = math.prod(layer.out), spikes * 0
    return Updates(none + size * multiplications, none + size * additions + resets * spikes, size * ann)

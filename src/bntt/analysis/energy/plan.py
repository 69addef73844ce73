"""The plan of a network for counting its operations.

It holds the input of every layer's weights, the worth of one spike there, the number of weights that a value meets, and
the other work of neurons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

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

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class PlannedLayer:
    """A layer's weights, if it has any, and its neurons, with their inputs and outputs."""

    into: Value
    """Input of the layer."""
    out: tuple[int, ...]
    """The shape of the weights' output, or of the neurons."""
    weights: nn.Conv2d | nn.Linear | None
    norm: nn.Module | None = None
    lif: nn.Module | None = None


def plan_layers(network: SpikingNetwork, image: Sequence[int], worth: Fraction | None) -> dict[str, PlannedLayer]:
    """Plan every layer of a network by its name, and the readout, in evaluation mode.

    Args:
        image: the shape of one sample in one step.
        worth: 1 if the network is driven by spikes, None if by real numbers.

    Raises:
        TypeError: on a block, a pool or a readout from outside the library and PyTorch.
        ValueError: if a layer is called "readout".

    >>> from bntt.models import vgg6
    >>> found = plan_layers(vgg6(num_steps=2), (1, 28, 28), Fraction(1))
    >>> found["conv3"].into
    Value(shape=(16, 14, 14), worth=Fraction(1, 4))
    """
    found: dict[str, PlannedLayer] = {}
    if READOUT in network.layers:
        raise ValueError(f"a layer is called {READOUT!r}, as the last weights are: give its block another name")
    at = _plan_blocks("", dict(network.blocks.items()), Value(tuple(image), worth), found)
    if block_facts(network.readout).form != "readout":
        raise TypeError(f"operations can be counted only for a Readout, this one is a {type(network.readout).__name__}")
    _plan_weights(READOUT, network.readout, at, found)
    return found


def _plan_blocks(under: str, parts: Mapping[str, Any], at: Value, found: dict[str, PlannedLayer]) -> Value:
    """Pass a value through consecutive blocks."""
    for name, part in parts.items():
        at = _plan_block(f"{under}.{name}".lstrip("."), part, at, found)
    return at


def _plan_block(name: str, block: Any, at: Value, found: dict[str, PlannedLayer]) -> Value:
    form = block_facts(block).form
    if form == "sum":
        body, beside = (_plan_blocks(name, dict(side.items()), at, found) for side in (block.body, block.shortcut))
        at = Value(body.shape, body.worth if body.worth == beside.worth else None)
        return at if block.after is None else _plan_block(f"{name}.after", block.after, at, found)
    if form != "layer":
        raise TypeError(f"block {name!r} is a {type(block).__name__}, whose operations cannot be counted: {REMEDY}")
    if block.synapse is None:
        found[name] = PlannedLayer(at, at.shape, None, lif=block.lif)
    else:
        at = _plan_weights(name, block, at, found)
    if block.lif is None:
        return at
    worth = None if not neuron_facts(block.lif).spikes else Fraction(1)
    return _after_neurons(name, block, Value(at.shape, worth))


REMEDY = "build it of SpikingBlock, CurrentBlock, NeuronBlock and Residual"


def _after_neurons(name: str, block: Any, at: Value) -> Value:
    """Pass a value through the modules after the neurons of a block that fires."""
    if block.dropout is not None and not isinstance(block.dropout, SpikeDropout):
        raise TypeError(f"block {name!r} has a {type(block.dropout).__name__}, whose operations cannot be counted")
    for module in _parts(block.pool):
        at = _plan_pool(name, module, at)
    return at


def _plan_weights(name: str, block: Any, at: Value, found: dict[str, PlannedLayer]) -> Value:
    """Pass a value through the weights of a block, and the modules before them."""
    *before, weights = _parts(block.synapse)
    if not isinstance(weights, nn.Conv2d | nn.Linear):
        raise TypeError(f"the weights of {name!r} end in {type(weights).__name__}: nn.Conv2d or nn.Linear must be last")
    for module in before:
        at = _plan_pool(name, module, at)
    if isinstance(weights, nn.Linear):
        out: tuple[int, ...] = (weights.out_features,)
    else:
        out = (weights.out_channels, *out_size(weights, (at.shape[1], at.shape[2])))
    found[name] = PlannedLayer(at, out, weights, getattr(block, "norm", None), getattr(block, "lif", None))
    return Value(out, None)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _parts(part)
    else:
        yield module


def _plan_pool(name: str, pool: nn.Module, at: Value) -> Value:
    """Pass a value through a module without weights: in an average, every spike counts as a fraction."""
    if isinstance(pool, nn.Identity):
        return at
    if not isinstance(pool, nn.Flatten | nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        raise TypeError(f"layer {name!r} has a {type(pool).__name__}, behind which spikes cannot be counted")
    shape = tuple(pool(torch.zeros(1, *at.shape)).shape[1:])
    if isinstance(pool, nn.Flatten | nn.MaxPool2d) or at.worth is None:
        return Value(shape, at.worth)
    return Value(shape, at.worth / _area(name, pool, at.shape, shape))


def _area(name: str, pool: nn.AvgPool2d | nn.AdaptiveAvgPool2d, into: Sequence[int], out: Sequence[int]) -> int:
    """Return the number of places over which an average is taken.

    Raises:
        TypeError: if the number varies between places.
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


def fan_out(weights: nn.Conv2d | nn.Linear, size: tuple[int, int]) -> Int64[Tensor, "H W"]:
    """Count the weights that a value meets at each place of an input of this height and width.

    It is the same for every channel: ``C_out / groups`` times the number of pairs of output place and kernel place that
    lie over it, ``y = stride · y_out - padding + dilation · y_kernel``, and likewise for x. Padding is not an input. A
    fully connected layer has one place, ``size`` (1, 1).

    Raises:
        TypeError: if the convolution's ``padding_mode`` is not "zeros".

    >>> fan_out(nn.Conv2d(2, 5, 3, padding=1, device="meta"), (3, 4))
    tensor([[20, 30, 30, 20],
            [30, 45, 45, 30],
            [20, 30, 30, 20]])
    """
    if isinstance(weights, nn.Linear):
        return torch.full(size, weights.out_features)
    down, across = (_weights_met(weights, axis, n) for axis, n in enumerate(size))
    return weights.out_channels // weights.groups * down[:, None] * across[None, :]


def reach_of(weights: nn.Conv2d | nn.Linear, into: Value) -> tuple[Int64[Tensor, "H W"], int]:
    """Return the number of weights that a value meets at each place (:func:`fan_out`), and the sum over all values."""
    shape = into.shape
    reach = fan_out(weights, (shape[1], shape[2]) if len(shape) == 3 else (1, 1))
    return reach, int(reach.sum()) * (into.size // reach.numel())


def out_size(weights: nn.Conv2d, size: tuple[int, int]) -> tuple[int, int]:
    """Compute height and width of a convolution's output.

    >>> out_size(nn.Conv2d(2, 5, 3, stride=2, device="meta"), (7, 9))
    (3, 4)
    """
    return len(_places(weights, 0, size[0])), len(_places(weights, 1, size[1]))


def _weights_met(weights: nn.Conv2d, axis: int, size: int) -> Tensor:
    """Count the pairs of output and kernel that lie over every place along an axis."""
    places = _places(weights, axis, size)
    return torch.bincount(places[(places >= 0) & (places < size)], minlength=size)


def _places(weights: nn.Conv2d, axis: int, size: int) -> Int64[Tensor, "out kernel"]:
    """Return the place along an axis that every output reads through every kernel place; some lie in the padding."""
    kernel, stride, dilation = weights.kernel_size[axis], weights.stride[axis], weights.dilation[axis]
    span = dilation * (kernel - 1)
    if weights.padding_mode != "zeros":
        raise TypeError(
            f"operations can be counted only for convolutions that pad with zeros, this one has {weights.padding_mode}"
        )
    if isinstance(weights.padding, str):
        before, both = (span // 2, span) if weights.padding == "same" else (0, 0)
    else:
        before, both = weights.padding[axis], 2 * weights.padding[axis]
    out = (size + both - span - 1) // stride + 1
    return (torch.arange(out) * stride - before)[:, None] + (torch.arange(kernel) * dilation)[None, :]


def macs_of(layers: Iterable[PlannedLayer]) -> int:
    """Count the multiply-accumulates of one sample in one step, including those on padding."""
    return sum(math.prod(one.out) * one.weights.weight[0].numel() for one in layers if one.weights is not None)


@dataclass(frozen=True)
class Updates:
    """Operations of one layer for one image, other than those of its weights.

    In a step, every normalised value takes a multiplication and an addition, since running statistics, γ and β merge
    into one scale and one shift; LayerNorm, with statistics for every image, takes two and three. Without a norm, a
    bias takes an addition. In a step, every neuron takes a multiplication for the leak, unless it is 1, an addition for
    the current and one for the comparison with the threshold. Folded neurons also scale and shift their current;
    neurons that decay their input also scale it, unless a norm's scale includes that. Every spike takes an addition,
    unless the reset is hard.
    """

    multiplications: Float64[Tensor, " T"]
    additions: Float64[Tensor, " T"]
    ann: int
    """Additions of an ANN in its one pass: a bias, which includes the norm, and the comparison of ReLU."""


def updates_of(layer: PlannedLayer, *, spikes: Float64[Tensor, " T"]) -> Updates:
    """Count the operations of one layer other than those of its weights, in every step.

    Args:
        spikes: spikes of its neurons, by step.

    >>> from bntt.nn import BNTT, LIF
    >>> layer = PlannedLayer(Value((3,), None), (2,), nn.Linear(3, 2, False, "meta"), BNTT(2, num_steps=1), LIF(0.9))
    >>> updates_of(layer, spikes=torch.ones(1).double())
    Updates(multiplications=tensor([4.], dtype=torch.float64), additions=tensor([7.], dtype=torch.float64), ann=4)
    """
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

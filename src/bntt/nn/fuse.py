"""Blocks as nodes of a fused run, or the reason why one cannot be fused.

A block is fused if every part of it is exactly one that the kernels support. A block with anything custom (a subclass,
a hook, another dtype) or anything wrong (a shape that does not fit) runs as a plain module, on floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from bntt.engine import private
from bntt.engine.compute import Compute, KernelName, Recompute
from bntt.engine.graph.layer import Fire, Layer, Mask, MaxPool, Sum
from bntt.engine.graph.node import Node, Start
from bntt.engine.graph.rectified import Rectify, why_not_rectified
from bntt.engine.graph.stack import largest_step, readers_of, saves_memory, sizes, steps_at_once
from bntt.engine.kernels import BackendError, device_of, require_precision, why_unavailable
from bntt.engine.layer_spec import PoolSize
from bntt.engine.private import parts_of
from bntt.engine.synapse import Geometry, Spikes
from bntt.engine.workspace import is_plain
from bntt.nn.blocks import (
    UNITS,
    BlockState,
    CurrentBlock,
    LayerBlock,
    NeuronBlock,
    Residual,
    SpikeDropout,
    SpikingBlock,
)
from bntt.nn.call import Call
from bntt.nn.kinds import NEURONS, NORMS, borrowed_generator
from bntt.nn.neurons import LIF, FoldedLIF, Rectifier
from bntt.nn.norms import FAMILY, LayerNorm, NoNorm, TemporalNorm
from bntt.nn.untouched import remember, why_touched
from bntt.ops.folded import AnyNeuron, FoldedNeuron
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.norm import Moments
from bntt.ops.pooling import AllSteps, Window
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle


class Layout(NamedTuple):
    """The data between two blocks: its shape for modules, and its layout in memory."""

    shape: tuple[int, ...]
    """Shape of one sample: ``(C, H, W)`` or ``(F,)``."""
    memory: tuple[int, int, int]
    """Height, width, channels."""


def layout_of(x: Tensor) -> Layout:
    """Return the layout of an input ``[T, B, ...]``."""
    shape = tuple(x.shape[2:])
    return Layout(shape, (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, math.prod(shape)))


class FusedNode(NamedTuple):
    """A node and the part of its block that it stands for."""

    node: Node
    unit: int | None = None
    """Index of the block's state that it starts from; None: it has no state."""
    layer: str | None = None
    """Name of the block's layer under which it is measured."""
    norm: TemporalNorm | None = None
    """The norm whose running statistics the batch updates."""
    memory: tuple[int, int, int] = (1, 1, 1)
    """Height, width and channels of its neurons, in the order of memory."""
    flat: bool = False
    """True if its module's membrane is ``[B, C]``, not ``[B, C, H, W]``."""

    @property
    def neurons(self) -> int:
        fires = isinstance(self.node, Fire) or (isinstance(self.node, Layer) and self.node.neuron is not None)
        return self.memory[0] * self.memory[1] * self.memory[2] if fires else 0

    def enter(self, state: BlockState | None, batch: int, first: int) -> Start:
        """Return a module's state before step ``first`` as the kernels take it."""
        membrane, past = (None, None) if state is None else state
        if self.norm is not None:
            self.norm.check_past(first, past)
        if membrane is not None:
            height, width, channels = self.memory
            wanted = (batch, channels) if self.flat else (batch, channels, height, width)
            if membrane.shape != wanted or membrane.dtype != torch.float32:
                raise ValueError(
                    f"the membrane is {membrane.dtype} {list(membrane.shape)} and a step's current torch.float32 "
                    f"{list(wanted)}: begin every batch with state=None"
                )
            membrane = (membrane[:, None, None, :] if self.flat else membrane.permute(0, 2, 3, 1)).contiguous()
        return Start(membrane, past if isinstance(past, Moments) else None)

    def leave(self, end: Start, state: BlockState | None) -> BlockState:
        """Return the kernels' state in the module's form, without a copy; ``state`` is the one that it started from."""
        membrane = end.membrane
        if membrane is not None:
            membrane = membrane[:, 0, 0] if self.flat else membrane.permute(0, 3, 1, 2)
        return BlockState(membrane, end.past if end.past is not None or state is None else state.norm)


class FusedBlock(NamedTuple):
    """A block as the kernels see it."""

    nodes: tuple[FusedNode, ...]
    out: Layout
    several: bool
    """True if its state is a tuple of its parts' states."""

    @property
    def rectifies(self) -> bool:
        """True if its neurons are those of an ANN."""
        nodes = [one.node for one in self.nodes]
        return any(node.rectifies if isinstance(node, Layer) else isinstance(node, Rectify) for node in nodes)

    def enter(self, state: Any, batch: int, first: int) -> list[Start]:
        """Return the initial state of every node; ``state`` is the block's."""
        return [
            Start() if one.unit is None else one.enter(self._of_unit(state, one.unit), batch, first)
            for one in self.nodes
        ]

    def leave(self, ends: Iterable[Start], state: Any) -> Any:
        """Return the block's state after the last step; ``state`` is the one before the first."""
        units = [
            one.leave(end, self._of_unit(state, one.unit))
            for one, end in zip(self.nodes, ends, strict=True)
            if one.unit is not None
        ]
        return tuple(units) if self.several else units[0]

    def _of_unit(self, state: Any, unit: int) -> BlockState | None:
        return cast("BlockState | None", state[unit] if self.several and state is not None else state)


def channels_last(x: Tensor) -> Tensor:
    """Return a network's input ``[S, B, ...]`` as ``[S, B, H, W, C]``."""
    return x.movedim(2, -1) if x.ndim == 5 else x.flatten(2)[:, :, None, None, :]


def left(out: Tensor, last: FusedBlock) -> Tensor:
    """Return a run's output ``[..., H, W, C]`` in the modules' layout, in standard strides: oneDNN 3.12 needs them."""
    if last.out.memory[:2] == (1, 1):  # a single pixel has the same memory layout
        return out.view(*out.shape[:-3], *last.out.shape)
    return out.movedim(-1, -3).reshape(-1).view(*out.shape[:-3], *last.out.shape)


def entered(nodes: list[Node], x: Tensor, compute: Compute) -> tuple[list[Node], Spikes]:
    """Return the nodes and their input as the kernels take it."""
    values = channels_last(x)
    if x.dtype != torch.int8 or compute.kernels != "cpu":
        return nodes, Spikes(values)
    layer, *rest = nodes
    if bool((x < 0).any()):
        if not isinstance(layer, Layer) or readers_of(nodes)[0] > 1 or layer.geometry.groups != 1:
            return nodes, Spikes(values)
        if layer.weight.ndim == 4 and not torch.are_deterministic_algorithms_enabled():
            return nodes, Spikes(values)  # dense, which is faster with so few channels
        # counts in two channels, one for each sign: the layer can run event-driven
        values = torch.cat([values.clamp(min=0), values.clamp(max=0).neg_()], -1)
        nodes = [replace(layer, weight=torch.cat([layer.weight, -layer.weight], 1)), *rest]
    counts = values.contiguous().view(torch.uint8)
    bound = 1 << (max(1, int(counts.max())) - 1).bit_length()  # a power of two: each bound is timed separately
    return nodes, Spikes(counts, 1.0, bound, float(counts.sum()) / counts.numel())


LARGEST_WINDOW = 255
"""Spikes of a pooling window are counted in a byte."""
MOST_PLACES = (1 << 31) - 1
"""Most places of all samples in one step: the kernels number them in 32 bits."""
remember(nn.Sequential, nn.Flatten, nn.Identity, nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d)
remember(*FAMILY, LayerNorm, NoNorm, *UNITS, Residual, SpikeDropout, LIF, FoldedLIF, Rectifier)


class NotKnown(Exception):
    """A part of a block that the kernels do not support; the message says why."""


def need(fits: object, reason: str) -> None:
    """Refuse a part that does not fit the kernels."""
    if not fits:
        raise NotKnown(reason)


def need_values(tensors: Iterable[tuple[str, Tensor | None]], device: torch.device, dtype: torch.dtype) -> None:
    """Refuse tensors that the kernels cannot read, each after the words that name its part."""
    for part, tensor in tensors:
        if tensor is not None and not is_plain(tensor):
            raise NotKnown(f"{part} a {type(tensor).__name__}, which is not a plain tensor")
        if tensor is not None and (tensor.dtype != dtype or tensor.device != device):
            raise NotKnown(f"{part} {tensor.dtype} on {tensor.device}")


def synapse_of(synapse: nn.Module, layout: Layout) -> tuple[nn.Conv2d | nn.Linear, bool, tuple[int, int, int]]:
    """Return the weights, whether to flatten their input, and height, width and channels of the current."""
    flattens = type(synapse) is nn.Sequential and len(synapse) == 2 and _is_flatten(synapse[0])
    weights: Any = synapse[1] if flattens else synapse  # type: ignore[index]
    height, width, channels = layout.memory
    shape: tuple[int, ...]
    if type(weights) is nn.Linear:
        flat = flattens or len(layout.shape) == 1
        need(flat and weights.in_features == height * width * channels, "its input does not fit, or is not flat")
        size, shape = (1, 1), (weights.out_features, weights.in_features)
    else:
        need(type(weights) is nn.Conv2d and not flattens, "its synapse is neither nn.Conv2d nor nn.Linear")
        need(len(layout.shape) == 3 and weights.in_channels == channels, "its input does not fit")
        padding = weights.padding_mode, weights.padding
        need(padding[0] == "zeros" and not isinstance(padding[1], str), f"its convolution pads with {padding}")
        kernel, geometry = _pair(weights.kernel_size), geometry_of(weights)
        whole = (kernel, geometry.stride, geometry.padding, geometry.dilation)
        fits = [_are_whole(pair, least) for pair, least in zip(whole, (1, 1, 0, 1), strict=True)]
        need(all(fits), f"its kernel, stride, padding and dilation are {whole}, not pairs of whole numbers")
        divides = weights.groups >= 1 and channels % weights.groups == 0
        need(divides, f"its {channels} input channels are not {weights.groups} groups")
        shape = (weights.out_channels, channels // weights.groups, *kernel)
        size = geometry.out_size((height, width), kernel)
        need(min(size) > 0, "its input is smaller than its kernel")
    for name, value, wanted in (("weight", weights.weight, shape), ("bias", weights.bias, shape[:1])):
        if isinstance(value, Tensor) and value.shape != wanted:
            kind = type(weights).__name__
            raise NotKnown(f"its {name} is {list(value.shape)}, expected {list(wanted)} in this {kind}")
    return weights, type(weights) is nn.Linear and height * width > 1, (*size, shape[0])


def geometry_of(weights: nn.Conv2d | nn.Linear) -> Geometry:
    """Return the geometry of a convolution; a fully connected layer has the default one."""
    if isinstance(weights, nn.Linear):
        return Geometry()
    return Geometry(_pair(weights.stride), _pair(weights.padding), _pair(weights.dilation), weights.groups)


def _are_whole(pair: tuple[Any, ...], least: int) -> bool:
    return len(pair) == 2 and all(type(size) is int and size >= least for size in pair)


def _is_flatten(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


def pool_of(pool: nn.Module, image: tuple[int, int, int], flat: bool) -> tuple[PoolSize, PoolSize, Layout]:
    """Return the windows of the average and of the maximum, (1, 1) is none, and the layout that leaves the block."""
    (channels, height, width), shape, none = image, image, (1, 1)
    average, largest = none, none
    for module in pool if type(pool) is nn.Sequential else [pool]:
        whole = average == largest == none and not flat
        if type(module) is nn.Identity or _is_flatten(module):
            flat = flat or _is_flatten(module)
        elif whole and (found := _average(module, height, width)):
            average, shape = found, (channels, height // found[0], width // found[1])
        elif whole and (found := _largest(module)):
            largest, shape = found, (channels, height // found[0], width // found[1])
        else:
            raise NotKnown(f"its pool is {type(module).__name__}, which is no average or maximum over whole windows")
    down, across = map(max, average, largest)  # one of them is (1, 1)
    need(min(shape) >= 1, f"its pooling window has {down}x{across} places on an image of {height}x{width}")
    features = shape[0] * shape[1] * shape[2]
    return average, largest, Layout((features,) if flat else shape, (shape[1], shape[2], shape[0]))


def _pair(size: Any) -> tuple[int, int]:
    """Return a size as a pair, as PyTorch reads it: one for both directions, or one for each."""
    return tuple(size) if isinstance(size, tuple | list) else (size, size)


def _largest(module: nn.Module) -> PoolSize | None:
    if type(module) is not nn.MaxPool2d or module.ceil_mode or module.return_indices:
        return None
    plain = _pair(module.padding) == (0, 0) and _pair(module.dilation) == (1, 1)
    kernel = _pair(module.kernel_size)
    return kernel if plain and kernel == _pair(module.stride) else None


def _average(module: nn.Module, height: int, width: int) -> PoolSize | None:
    if type(module) is nn.AdaptiveAvgPool2d and module.output_size in (1, (1, 1)):
        return height, width
    if type(module) is not nn.AvgPool2d or module.ceil_mode or module.divisor_override is not None:
        return None
    kernel = _pair(module.kernel_size)
    return kernel if kernel == _pair(module.stride) and _pair(module.padding) == (0, 0) else None


def _check_unit(block: nn.Module, layout: Layout) -> None:
    """Refuse a block of one layer by the kinds of its parts and its input."""
    need(type(block) in UNITS, f"it is {type(block).__name__}, which the kernels do not support")
    assert isinstance(block, LayerBlock)
    lif, dropout, shape = block.lif, block.dropout, layout.shape
    need((block.synapse is None) == (block.norm is None), "it has weights without a norm, or a norm without weights")
    need(lif is not None or block.pool is dropout is None, "it has a pool or dropout, but no neurons before it")
    for what, part, kinds in (("dropout is", dropout, (SpikeDropout,)), ("neurons are", lif, NEURON_KINDS)):
        supported = part is None or type(part) in kinds
        need(supported, f"its {what} {type(part).__name__}, which the kernels do not support")
    need(lif is None or block.pool is not None, "its pool is None: nn.Identity() is none")
    images = len(shape) == 3 or (len(shape) == 1 and layout.memory[:2] == (1, 1))
    need(images or block.synapse is not None, f"its input is {list(shape)}, not images or features, or was flattened")


NEURON_KINDS = (LIF, FoldedLIF, Rectifier)


def check_norm(norm: nn.Module, steps: range, channels: int, *, whole: bool = True, single: bool = False) -> None:
    """Refuse a norm that the kernels do not support on these steps and channels."""
    if type(norm) is NoNorm:
        return
    need(not isinstance(getattr(norm, "eps", None), Tensor), "its norm's eps is a tensor: kernels take a number")
    if type(norm) is LayerNorm:
        need(norm.channels == channels, f"its norm takes {norm.channels} channels")
        return
    need(type(norm) in FAMILY, f"its norm is {type(norm).__name__}, which the kernels do not support")
    assert isinstance(norm, TemporalNorm)
    fits, pooling = steps.stop <= norm.num_steps and norm.channels == channels, norm.method.pooling
    need(fits, f"its norm takes {norm.num_steps} steps of {norm.channels} channels")
    known = type(pooling) in (Window, AllSteps)
    need(known, f"its pooling is {type(pooling).__name__}, which the kernels do not support")
    learned = norm.running_mean.requires_grad or norm.running_var.requires_grad
    need(not learned, "its running statistics are learned")
    if norm.training:
        name = norm.method.name
        looks = f"{name} takes its training statistics over all steps, and the call does not have all"
        need(whole or not pooling.looks_ahead, looks)
        need(not single, "its statistics would be of a single value")


def check_neuron(neuron: AnyNeuron, steps: range, channels: int, kernels: KernelName) -> None:
    """Refuse neurons that the kernels do not support on these steps and channels."""
    known = type(neuron) in (Neuron, FoldedNeuron)
    need(known, f"its neurons are {type(neuron).__name__}, which the kernels do not support")
    surrogate, leak, threshold = neuron.surrogate, neuron.leak, cast(Any, neuron.threshold)
    need(type(surrogate) in (Triangle, FastSigmoid, ArcTan), "its surrogate is a custom one")
    tensors = any(isinstance(constant, Tensor) for constant in vars(surrogate).values())
    need(not tensors, "its surrogate's constants are tensors")
    if isinstance(neuron, FoldedNeuron):
        enough = neuron.num_steps is None or steps.stop <= neuron.num_steps
        need(enough, f"its folded neurons have {neuron.num_steps} steps")
        fits = neuron.channels in (None, channels)
        need(fits, f"its folded neurons have {neuron.channels} channels, its current {channels}")
        learns = any(isinstance(table, Tensor) and table.requires_grad for _, table in neuron.tables())
        need(not learns, "its folded neurons learn, which the kernels do not support")
        return
    if isinstance(threshold, Tensor):
        raise NotKnown(
            f"its threshold is {'learned' if threshold.requires_grad else 'a tensor'}: kernels take a number"
        )
    if isinstance(leak, Tensor):
        need(
            leak.ndim == 0 or len(leak) == channels,
            f"its {leak.numel()} leaks are not one for each of {channels} channels",
        )
        need(kernels == "cpu", "its leak is learned, which only the CPU kernels support")
    published = neuron.rule in (fire_after, fire_before) and neuron.reset in (soft_reset, hard_reset)
    need(published, "its firing rule or reset is a custom one")


def drive_of(
    neuron: AnyNeuron, steps: range, channels: int, device: torch.device
) -> tuple[AnyNeuron, Tensor | None, Tensor | None]:
    """Return neurons of these steps (kernels ignore ``decay_input``), and their gain and bias, ``[steps, C]``."""
    if not isinstance(neuron, FoldedNeuron):
        if not neuron.decay_input:
            return neuron, None, None
        gain = torch.as_tensor(neuron.input_gain, dtype=torch.float32, device=device)
        return neuron, gain.expand(len(steps), channels), None
    neuron = neuron.steps(steps.start, steps.stop)
    gain, bias = (
        torch.as_tensor(table, dtype=torch.float32, device=device).expand(len(steps), channels)
        for table in (neuron.gain, neuron.bias)
    )
    return neuron.with_tables(gain=1.0, bias=0.0), gain, bias


def normalisation_of(norm: nn.Module, steps: range, channels: int, device: torch.device) -> dict[str, Any]:
    """Return a layer's γ and β of every step, its statistics (None: the batch's), ε, and the pooling if it has one."""
    if not isinstance(norm, TemporalNorm):
        one = torch.ones(1, 1, dtype=torch.float32, device=device)
        ones, zeros = one.expand(len(steps), channels), torch.zeros_like(one).expand(len(steps), channels)
        tables = {"gamma": ones, "beta": None, "mean": zeros, "var": ones, "eps": 0.0}
        if isinstance(norm, LayerNorm):
            tables |= {"gamma": norm.gamma.expand(len(steps), channels), "sample_eps": norm.eps}
        return tables
    which = slice(steps.start, steps.stop)
    running = slice(None) if norm.method.shared_running else which
    gamma, beta = norm.scale_and_shift(which)
    statistics = (None, None) if norm.training else (norm.running_mean[running], norm.running_var[running])
    values = {"gamma": gamma, "beta": beta, "mean": statistics[0], "var": statistics[1]}
    return {"eps": norm.eps, "pooling": norm.method.pooling} | {
        name: None if rows is None else rows.expand(len(steps), channels) for name, rows in values.items()
    }


@dataclass(frozen=True)
class Site:
    """Conditions under which blocks are to be fused."""

    call: Call
    steps: range
    """The network's steps that the input covers."""
    batch: int
    compute: Compute
    device: torch.device


def fuse(block: nn.Module, site: Site, layout: Layout) -> FusedBlock:
    """Return the block as nodes for inputs of a layout; one that the kernels do not support raises ``NotKnown``."""
    need(type(block) in (*UNITS, Residual), f"it is {type(block).__name__}, which the kernels do not support")
    for name, module, tensors in parts_of(block):
        who = name or "it"
        if reason := why_touched(module):
            raise NotKnown(f"{who} {reason}")
        for tensor in tensors:
            turned = isinstance(module, FoldedLIF) and tensor is module.turned
            need_values([(f"{who} has", tensor)], site.device, torch.bool if turned else torch.float32)
    nodes, at = list[FusedNode](), (0, layout)
    at = _residual(nodes, site, block, at) if isinstance(block, Residual) else _unit(nodes, site, block, at, "")
    found = FusedBlock(tuple(nodes), at[1], type(block) is Residual)
    if found.rectifies:
        no_eps = any(getattr(part, "eps", None) == 0 for part in block.modules())
        need(not no_eps, "its norm's eps is 0, which tells the kernels of an ANN that there is no norm")
        alone = bool(site.call.whole) and len(site.steps) == 1
        reason = why_not_rectified([one.node for one in found.nodes], site.compute, alone=alone)
        need(not reason, reason)
    return found


Place = tuple[int, Layout]
"""A value on its way through a block, and its layout: 0 is the block's input, k the output of its k-th node."""


def _append(nodes: list[FusedNode], fused: FusedNode, *reads: int) -> int:
    """Append a node that reads these values; return the number of its output."""
    back = tuple(value - len(nodes) - 1 for value in reads)
    node: Any = fused.node
    nodes.append(fused if back == node.reads else fused._replace(node=replace(node, reads=back)))
    return len(nodes)


def _residual(nodes: list[FusedNode], site: Site, block: Residual, at: Place) -> Place:
    """Append body, shortcut, their sum and the block after it."""
    (body, layout), (beside, other) = (
        _chain(nodes, site, dict(parts.items()), at) for parts in (block.body, block.shortcut)
    )
    need(layout == other, block.differs(layout.shape, other.shape))
    total = _append(nodes, FusedNode(Sum(())), body, beside), layout
    return total if block.after is None else _chain(nodes, site, {"after": block.after}, total)


def _chain(nodes: list[FusedNode], site: Site, parts: Mapping[str, nn.Module], at: Place) -> Place:
    """Append blocks of one layer, one after another."""
    for name, part in parts.items():
        try:
            at = _unit(nodes, site, part, at, name)
        except NotKnown as reason:
            raise NotKnown(f"its {name!r}: {reason}") from None
    return at


def _unit(nodes: list[FusedNode], site: Site, block: nn.Module, at: Place, name: str) -> Place:
    """Append a block of one layer: weights, norm and neurons; then pool and dropout."""
    value, layout = at
    _check_unit(block, layout)
    assert isinstance(block, LayerBlock)
    (height, width, channels), flat = layout.memory, len(layout.shape) == 1
    weights, flatten, dropout = None, False, cast("SpikeDropout | None", block.dropout)
    if block.synapse is not None:
        weights, flatten, (height, width, channels) = synapse_of(block.synapse, layout)
        flat = isinstance(weights, nn.Linear)
    memory = height, width, channels
    out = Layout((channels,) if flat else (channels, height, width), memory)
    driven: Driven = None, None, None
    window, largest = (1, 1), (1, 1)
    if block.lif is not None:
        if not isinstance(block.lif, Rectifier):
            neuron = cast("LIF | FoldedLIF", block.lif).neuron
            check_neuron(neuron, site.steps, channels, site.compute.kernels)
            driven = drive_of(neuron, site.steps, channels, site.device)
        window, largest, out = pool_of(cast(nn.Module, block.pool), (channels, height, width), flat)
        few = driven[0] is None or window[0] * window[1] <= LARGEST_WINDOW
        need(few, f"its pooling window has {window[0]}x{window[1]} places, more than {LARGEST_WINDOW}")
    if weights is not None:
        node: Node = _layer_node(site, block, weights, flatten, memory, driven, window)
    else:
        node = Rectify(window) if driven[0] is None else Fire(driven[0], window, *driven[1:])
    places = site.batch * height * width
    need(places <= MOST_PLACES, f"its neurons have {places} places in a step, more than {MOST_PLACES}")
    norm = block.norm if isinstance(block.norm, TemporalNorm) else None
    unit = sum(one.unit is not None for one in nodes)
    value = _append(nodes, FusedNode(node, unit, name, norm, memory, flat), value)
    if largest != (1, 1):
        value = _append(nodes, FusedNode(MaxPool(largest)), value)
    if dropout is not None and dropout.training and dropout.p > 0:
        value = _append(nodes, FusedNode(Mask(_drawing(dropout, site, out.memory), dropout.p)), value)
    return value, out


Driven = tuple[AnyNeuron | None, Tensor | None, Tensor | None]
"""Neurons, and gain and bias ``[steps, C]`` on their input; None: there are none, or they rectify."""


def _layer_node(
    site: Site,
    block: LayerBlock,
    weights: nn.Conv2d | nn.Linear,
    flatten: bool,
    size: tuple[int, int, int],
    driven: Driven,
    window: PoolSize,
) -> Layer:
    """Return weights, norm and, if they fire, neurons; ``size`` is that of the current, channels last."""
    norm, (height, width, channels), (neuron, gain, bias) = cast(nn.Module, block.norm), size, driven
    single = site.compute.reduce is None and site.batch * height * width == 1
    check_norm(norm, site.steps, channels, whole=bool(site.call.whole), single=single)
    alone, kind = not isinstance(neuron, FoldedNeuron) or type(norm) is NoNorm, type(norm).__name__
    need(alone, f"its norm is {kind}, and the kernels support folded neurons only without a norm")
    tables = normalisation_of(norm, site.steps, channels, site.device)
    if gain is not None:  # a part of γ and β; without a norm they are 1 and 0
        beta = bias if tables["beta"] is None else tables["beta"] * gain
        tables |= {"gamma": tables["gamma"] * gain, "beta": beta}
    given = {name: tables[name] for name in ("gamma", "beta", "mean", "var")}
    values = {"weight": weights.weight, "bias": weights.bias, **given}
    need_values([(f"its {name} is", tensor) for name, tensor in values.items()], site.device, torch.float32)
    rectifies, parts = block.lif is not None and neuron is None, (weights.weight, weights.bias)
    return Layer(geometry_of(weights), flatten, window, neuron, *parts, **tables, rectifies=rectifies)


def _drawing(dropout: SpikeDropout, site: Site, size: tuple[int, int, int]) -> Callable[[], Tensor]:
    """Return a function that draws a dropout's mask, in the order of memory, when it is first called."""
    height, width, channels = size

    @cache
    def draw() -> Tensor:
        assert site.call.noise is not None  # a network always names it
        stays: Tensor = dropout.stays(site.call.noise, (channels, height, width), site.device)
        return stays.permute(0, 2, 3, 1).to(torch.uint8).contiguous()

    return draw


class Plan(NamedTuple):
    """The blocks of a network that run together for one input."""

    fused: dict[str, FusedBlock]
    """The fused blocks, from the first on, by name."""
    reason: str
    """Reason why the next block cannot be fused; "" if all are."""

    def __repr__(self) -> str:
        return f"Plan(fused: {', '.join(self.fused) or 'none'}; the next is not: {self.reason or 'there is none'})"


def why_not_here(x: Tensor, kernels: KernelName) -> str:
    """Return why nothing can be fused for this input; "" if blocks may be."""
    if reason := why_unavailable(kernels):
        return reason
    device = device_of(kernels)
    if not is_plain(x):
        return f"the kernels take plain tensors, the input is a {type(x).__name__}, {x.layout}"
    if x.device.type != device or x.dtype not in (torch.float32, torch.int8):
        return f"the kernels take float32 or int8 on {device}, the input is {x.dtype} on {x.device}"
    if x.numel() == 0:
        return "the input is empty"
    if torch.compiler.is_compiling() or private.being_traced() or torch.is_autocast_enabled(device):
        return "the network is being compiled or traced, or autocast is on"
    if private.has_global_hooks():
        return "a hook for all modules is registered"
    if private.being_transformed():
        return "forward-mode differentiation or a function transform is on"
    if private.being_overridden():
        return "a mode overrides PyTorch's functions"
    return "something watches PyTorch's operations, such as a FlopCounterMode" if private.being_watched() else ""


def plan_of(blocks: Mapping[str, nn.Module], x: Tensor, compute: Compute, call: Call = Call()) -> Plan:
    """Fuse as many blocks from the first on as this input allows, and say why the next one cannot be."""
    require_precision(compute.precision, x.device)
    fused: dict[str, FusedBlock] = {}
    reason = "backend 'reference' is plain PyTorch"
    if compute.backend != "reference":
        reason = why_not_here(x, compute.kernels)
    layout, steps = layout_of(x), range(call.first, call.first + x.shape[0])
    site = Site(call, steps, x.shape[1], compute, x.device)
    for name, block in blocks.items():
        try:
            need(not reason, reason)
            found = fuse(block, site, layout)
            alike = all(one.rectifies == found.rectifies for one in fused.values())
            need(alike, "blocks that spike and blocks that rectify do not run together")
        except NotKnown as why:
            reason = str(why)
            if not compute.insists:
                break
            wanted = f"on backend {compute.backend!r}"
            if compute.precision != "fp32":
                wanted = f"in precision {compute.precision!r}, which only the kernels have"
            raise BackendError(
                f"block {name!r} cannot run {wanted}: {reason}; in plain PyTorch such a block "
                f"runs with backend 'auto' and precision 'fp32'; on a GPU only backend 'triton' has kernels"
            ) from None
        fused[name], layout = found, found.out
    return Plan(fused, reason)


def samples_at_once(plan: Plan, shape: Sequence[int]) -> int:
    """Return how many samples can take one step in the memory of one chunk of a pass."""
    nodes = _nodes(plan)
    if plan.reason or not nodes:
        return 0
    values = channels_last(torch.empty(1, 1, *shape, device="meta"))
    return steps_at_once(max(values.numel(), largest_step(sizes(nodes, Spikes(values)))))


def settled(blocks: Mapping[str, nn.Module], x: Tensor, compute: Compute, call: Call) -> Compute:
    """Return ``compute`` with ``recompute="auto"`` resolved: whether to recompute currents is decided here, once."""
    if compute.recompute != "auto" or compute.reduce is not None:
        return compute
    nodes, values = _nodes(plan_of(blocks, x, compute, call)), channels_last(x)
    choice: Recompute = (
        math.isqrt(len(x) - 1) + 1 if nodes and saves_memory(nodes, Spikes(values), compute) else "never"
    )
    return replace(compute, recompute=choice)


def _nodes(plan: Plan) -> list[Node]:
    return [one.node for block in plan.fused.values() for one in block.nodes]


SITE = Site(Call(), range(2), 2, Compute(), torch.device("cpu"))
IMAGE = Layout((2, 4, 4), (4, 4, 2))


def fused_norms() -> dict[str, str]:
    """Return how every norm runs, fused or in plain PyTorch, by name."""
    return {
        name: _tried(partial(make, 2, 2, 1.0), lambda norm: _layer(LIF(), norm=norm)) for name, make in NORMS.items()
    }


def _tried(make: Callable[[], nn.Module], layer: Callable[[nn.Module], nn.Module], steps: range = SITE.steps) -> str:
    try:
        with borrowed_generator():
            part = make()
    except Exception as error:  # the code of a custom part runs here, and may raise anything
        return f"not known: with 2 channels and few steps it cannot be built ({error})"
    return _done(layer(part), steps)


def fused_parts() -> dict[str, str]:
    """Return how every kind of neuron and block runs, fused or in plain PyTorch, by name."""
    current = CurrentBlock(_layer(LIF()).synapse, NoNorm())
    kinds: dict[str, nn.Module] = {
        "LIF": _layer(LIF()),
        "LIF, learned leak": _layer(LIF(0.5, learn_leak=True)),
        "LIF, input decays": _layer(LIF(0.5, decay_input=True)),
        "PLIF": _layer(LIF(0.5, learn_leak=True, decay_input=True)),
        "FoldedLIF": _layer(FoldedLIF(FoldedNeuron(0.9, 1.0))),
        "AvgPool2d": _layer(LIF(), pool=nn.AvgPool2d(2)),
        "MaxPool2d": _layer(LIF(), pool=nn.MaxPool2d(2)),
        "SpikeDropout": _layer(LIF(), dropout=SpikeDropout(0.5)),
        "CurrentBlock": current,
        "NeuronBlock": NeuronBlock(LIF()),
        "Residual": Residual({"body": current}, after=NeuronBlock(LIF())),
    }
    given = {**vars(Neuron()), "learn_leak": False}
    others = {  # in one step, since an ANN has no more
        name: _tried(partial(make, 2, 1, **given), _layer, range(1)) for name, make in NEURONS.items() if name != "lif"
    }
    return {name: _done(block) for name, block in kinds.items()} | others


def _layer(lif: nn.Module, *, norm: nn.Module | None = None, **following: nn.Module) -> SpikingBlock:
    weights = nn.utils.skip_init(nn.Conv2d, 2, 2, 1)  # type: ignore[no-untyped-call]
    return SpikingBlock(weights, norm or NoNorm(), lif, **following)


def _done(block: nn.Module, steps: range = SITE.steps) -> str:
    """Describe how a block runs; if it is not fused, why."""
    said = "fused in training and evaluation"
    for mode, way in ((True, "fused in evaluation; training in plain PyTorch"), (False, "plain PyTorch")):
        try:
            fuse(block.train(mode), replace(SITE, steps=steps), IMAGE)
        except NotKnown as reason:
            said = f"{way}: {reason}"
    return said

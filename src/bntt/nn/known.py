"""What the kernels know of modules: a block read as a fused layer, or why it is none.

A block is fused when every part of it is exactly what the kernels know. Anything of yours (a subclass, a hook, another
dtype, a learnable leak) and anything wrong (a shape that does not fit) runs as the module that it is, on real floats.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bntt.engine.compute import Compute, KernelName
from bntt.engine.layer import Layer
from bntt.engine.neuron import PoolSize
from bntt.engine.private import parts_of
from bntt.engine.synapse import Geometry
from bntt.nn.block import SpikingBlock
from bntt.nn.folded import FoldedLIF
from bntt.nn.lif import LIF
from bntt.nn.norm import LayerNorm, NoNorm, TemporalNorm
from bntt.nn.norms import NORMS
from bntt.nn.untouched import why_touched
from bntt.ops import pooling
from bntt.ops.folded import AnyNeuron, FoldedNeuron
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

LARGEST_WINDOW = 255
"""Spikes of a pooling window are counted in a byte."""


class Layout(NamedTuple):
    """What flows between two blocks: the shape that the modules see, and how it lies in memory."""

    shape: tuple[int, ...]
    """Of one image: ``(C, H, W)``, ``(F,)``."""
    memory: tuple[int, int, int]
    """Height, width, channels."""


class FusedBlock(NamedTuple):
    """A block as the kernels see it."""

    layer: Layer
    norm: nn.Module
    """Whose running statistics take the batch in."""
    out: Layout
    memory: tuple[int, int, int]
    """Height, width and channels of its neurons, in the order of memory."""
    flat: bool
    """Whether its module's membrane is ``[B, C]``, not ``[B, C, H, W]``."""

    @property
    def neurons(self) -> int:
        return self.memory[0] * self.memory[1] * self.memory[2]

    def enter(self, membrane: Tensor, batch: int) -> Tensor:
        """A module's membrane as the kernels take it, ``[B, H, W, C]``.

        Raises:
            ValueError: if it belongs to other neurons, or another batch.
        """
        height, width, channels = self.memory
        wanted = (batch, channels) if self.flat else (batch, channels, height, width)
        if membrane.shape != wanted or membrane.dtype != torch.float32:
            raise ValueError(
                f"the membrane is {membrane.dtype} {list(membrane.shape)} and a step's current torch.float32 "
                f"{list(wanted)}: begin every batch with state=None"
            )
        return membrane[:, None, None, :] if self.flat else membrane.permute(0, 2, 3, 1).contiguous()

    def leave(self, membrane: Tensor) -> Tensor:
        """And back, without a copy."""
        return membrane[:, 0, 0] if self.flat else membrane.permute(0, 3, 1, 2)


def layout_of(x: Tensor) -> Layout:
    """Where an input ``[T, B, ...]`` begins."""
    shape = tuple(x.shape[2:])
    return Layout(shape, (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, math.prod(shape)))


def fuse(
    block: nn.Module,
    steps: range,
    batch: int,
    layout: Layout,
    compute: Compute,
    device: torch.device,
    *,
    whole: bool,
) -> FusedBlock | str:
    """The block as a fused layer for inputs ``[steps, batch, *layout.shape]`` on a device, or why it is none.

    Args:
        steps: which of the network's steps the input has.
        whole: whether these are all that there will be, from rest.
        compute: what it computes with.
    """
    if type(block) is not SpikingBlock or type(block.lif) not in (LIF, FoldedLIF):
        part, kind = ("its lif", type(block.lif)) if type(block) is SpikingBlock else ("it", type(block))
        return f"{part} is {kind.__name__}, which the kernels do not know"
    for name, module, tensors in parts_of(block):
        if reason := why_touched(module):
            return f"{name or 'it'} {reason}"
        for tensor in tensors:
            wanted = torch.bool if name == "lif" and tensor is getattr(module, "turned", None) else torch.float32
            if tensor.dtype != wanted or tensor.device != device:
                return f"{name or 'it'} has {tensor.dtype} on {tensor.device}"
    synapse = _synapse(block.synapse, layout)
    if isinstance(synapse, str):
        return synapse
    weights, flatten, (height, width, channels) = synapse
    pooled = _pool(block.pool, (channels, height, width), isinstance(weights, nn.Linear))
    if isinstance(pooled, str):
        return pooled
    window, out = pooled
    single = compute.reduce is None and batch * height * width == 1
    reason = _why_not_norm(block.norm, steps, channels, whole=whole, single=single)
    neuron: AnyNeuron = block.lif.neuron  # type: ignore[assignment]
    if reason := reason or _why_not_neuron(neuron, block.norm, steps, channels, compute.kernels):
        return reason
    geometry = Geometry()
    if isinstance(weights, nn.Conv2d):
        geometry = Geometry(weights.stride, weights.padding, weights.dilation, weights.groups)  # type: ignore[arg-type]
    layer = Layer(
        geometry,
        flatten,
        window,
        weight=weights.weight,
        bias=weights.bias,
        **(_normalisation(block.norm, steps, channels, device) | _neuron(neuron, steps, channels)),
    )
    return FusedBlock(layer, block.norm, out, (height, width, channels), isinstance(weights, nn.Linear))


def _synapse(synapse: nn.Module, layout: Layout) -> tuple[nn.Conv2d | nn.Linear, bool, tuple[int, int, int]] | str:
    """The weights, whether their input must be flattened, and height, width and channels of the current."""
    flattens = False
    if type(synapse) is nn.Sequential and len(synapse) == 2 and _is_flatten(synapse[0]):
        synapse, flattens = synapse[1], True
    height, width, channels = layout.memory
    if type(synapse) is nn.Linear:
        if not (flattens or len(layout.shape) == 1) or synapse.in_features != height * width * channels:
            return "its input does not fit, or is not flat"
        return synapse, height * width > 1, (1, 1, synapse.out_features)
    if type(synapse) is not nn.Conv2d or flattens:
        return "its synapse is neither nn.Conv2d nor nn.Linear"
    if len(layout.shape) != 3 or synapse.in_channels != channels:
        return "its input does not fit"
    if isinstance(synapse.padding, str) or synapse.padding_mode != "zeros":
        return f"its convolution pads with {synapse.padding_mode}, {synapse.padding!r}"
    kernel, stride = synapse.kernel_size, synapse.stride
    size = Geometry(stride, synapse.padding, synapse.dilation).out_size((height, width), kernel)  # type: ignore[arg-type]
    return (synapse, False, (*size, synapse.out_channels)) if min(size) > 0 else "its input is smaller than its kernel"


def _is_flatten(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


def _pool(pool: nn.Module, image: tuple[int, int, int], linear: bool) -> tuple[PoolSize, Layout] | str:
    """The averaging window of what follows the spikes, and what then leaves the block."""
    channels, height, width = image
    window, flat, shape = (1, 1), linear, image
    for module in pool if type(pool) is nn.Sequential else [pool]:
        if type(module) is nn.Identity or _is_flatten(module):
            flat = flat or _is_flatten(module)
        elif window == (1, 1) and not flat and (found := _average(module, height, width)):
            window, shape = found, (channels, height // found[0], width // found[1])
        else:
            return f"its pool is {type(module).__name__}, which is not an average over whole windows"
    if window[0] * window[1] > LARGEST_WINDOW or min(shape) < 1:
        return f"its pooling window has {window[0]}x{window[1]} places on an image of {height}x{width}"
    features = shape[0] * shape[1] * shape[2]
    return window, Layout((features,) if flat else shape, (shape[1], shape[2], shape[0]))


def _average(module: nn.Module, height: int, width: int) -> PoolSize | None:
    if type(module) is nn.AdaptiveAvgPool2d and module.output_size in (1, (1, 1)):
        return height, width
    if type(module) is not nn.AvgPool2d or module.ceil_mode or module.divisor_override is not None:
        return None
    sizes = (module.kernel_size, module.stride, module.padding)
    kernel, stride, padding = (size if isinstance(size, tuple) else (size, size) for size in sizes)
    return kernel if kernel == stride and padding == (0, 0) else None


def _why_not_norm(norm: nn.Module, steps: range, channels: int, *, whole: bool = True, single: bool = False) -> str:
    if type(norm) is NoNorm:
        return ""
    if type(norm) is LayerNorm:
        return "" if norm.channels == channels else f"its norm takes {norm.channels} channels"
    if type(norm) is not TemporalNorm:
        return f"its norm is {type(norm).__name__}, which the kernels do not know"
    if steps.stop > norm.num_steps or norm.channels != channels:
        return f"its norm takes {norm.num_steps} steps of {norm.channels} channels"
    if norm.training and norm.method.pooling != pooling.Window(0) and not whole:
        return f"{norm.method.name} pools its training statistics over time, and the call has not all steps"
    return "its statistics would be of a single value" if norm.training and single else ""


def fused_norms() -> dict[str, str]:
    """For every norm by name, what the fused kernels do for it.

    >>> fused_norms()["tdbn"]
    'fused in training and evaluation'
    """
    found = {}
    for name, build in NORMS.items():
        norm = build(1, 2, 1.0)
        kernels, training = "fused in training and evaluation", _why_not_norm(norm, range(2), 1)
        if training:
            evaluation = _why_not_norm(norm.eval(), range(2), 1)
            fused = "plain PyTorch" if evaluation else "fused in evaluation; training in plain PyTorch"
            kernels = f"{fused}: {evaluation or training}".replace(": its norm is", ": it is")
        found[name] = kernels
    return found


def _why_not_neuron(neuron: AnyNeuron, norm: nn.Module, steps: range, channels: int, kernels: KernelName) -> str:
    if type(neuron.surrogate) not in (Triangle, FastSigmoid, ArcTan):
        return "its surrogate is one of yours"
    if isinstance(neuron, FoldedNeuron):
        return _why_not_folded(neuron, norm, steps, channels)
    if isinstance(neuron.leak, Tensor) and neuron.leak.numel() not in (1, channels):
        return f"its {neuron.leak.numel()} leaks are not one for each of {channels} channels"
    if isinstance(neuron.leak, Tensor) and kernels != "cpu":
        return "its leak is learned, which only the CPU's kernels know"
    if neuron.rule not in (fire_after, fire_before) or neuron.reset not in (soft_reset, hard_reset):
        return "its firing rule or reset is one of yours"
    return ""


def _why_not_folded(neuron: FoldedNeuron, norm: nn.Module, steps: range, channels: int) -> str:
    if type(norm) is not NoNorm:
        return f"its norm is {type(norm).__name__}, and the kernels know folded neurons without one alone"
    if neuron.num_steps is not None and steps.stop > neuron.num_steps:
        return f"its folded neurons have {neuron.num_steps} steps"
    if neuron.channels not in (None, channels):
        return f"its folded neurons have {neuron.channels} channels, its current {channels}"
    learns = any(isinstance(table, Tensor) and table.requires_grad for _, table in neuron.tables())
    return "its folded neurons learn, which the kernels do not know" if learns else ""


def _neuron(neuron: AnyNeuron, steps: range, channels: int) -> dict[str, Any]:
    """The neurons of these steps; of folded ones gain and bias are γ and β."""
    if isinstance(neuron, Neuron):
        return {"neuron": neuron}
    neuron = neuron.steps(steps.start, steps.stop)
    gain, bias = (torch.as_tensor(table).expand(len(steps), channels) for table in (neuron.gain, neuron.bias))
    return {"neuron": neuron.with_tables(gain=1.0, bias=0.0), "gamma": gain, "beta": bias}


def _normalisation(norm: nn.Module, steps: range, channels: int, device: torch.device) -> dict[str, Any]:
    """γ and β of every step, the statistics where they are given, their pooling where they are not, and ε."""
    if not isinstance(norm, TemporalNorm):
        one = torch.ones(1, 1, device=device)
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

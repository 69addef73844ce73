"""What the kernels support of a block's parts (weights, pools, norms and neurons), and why a part is unsupported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from bntt.engine.compute import KernelName
from bntt.engine.door import is_plain
from bntt.engine.layer_spec import PoolSize
from bntt.engine.synapse import Geometry
from bntt.nn.fusion.untouched import remember
from bntt.nn.norms.methods import FAMILY, LayerNorm, NoNorm
from bntt.nn.norms.temporal import TemporalNorm
from bntt.ops.folded import AnyNeuron, FoldedNeuron
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.pooling import AllSteps, Window
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

T = TypeVar("T")
LARGEST_WINDOW = 255
"""Spikes of a pooling window are counted in a byte."""
remember(nn.Sequential, nn.Flatten, nn.Identity, nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d)
remember(*FAMILY, LayerNorm, NoNorm)


class NotKnown(Exception):
    """A part of a block that the kernels do not support."""


def known(found: T | str) -> T:
    """Return what was found; raise :class:`NotKnown` if it is a reason instead."""
    if isinstance(found, str):
        raise NotKnown(found)
    return found


def refuse(reason: str) -> None:
    """Raise a reason, if there is one."""
    if reason:
        raise NotKnown(reason)


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


def synapse_of(synapse: nn.Module, layout: Layout) -> tuple[nn.Conv2d | nn.Linear, bool, tuple[int, int, int]] | str:
    """Return the weights, whether to flatten their input, and height, width and channels of the current."""
    flattens = False
    if type(synapse) is nn.Sequential and len(synapse) == 2 and _is_flatten(synapse[0]):
        synapse, flattens = synapse[1], True
    height, width, channels = layout.memory
    if type(synapse) is nn.Linear:
        if not (flattens or len(layout.shape) == 1) or synapse.in_features != height * width * channels:
            return "its input does not fit, or is not flat"
        return _misfit(synapse, (synapse.out_features, synapse.in_features)) or (
            synapse,
            height * width > 1,
            (1, 1, synapse.out_features),
        )
    if type(synapse) is not nn.Conv2d or flattens:
        return "its synapse is neither nn.Conv2d nor nn.Linear"
    if len(layout.shape) != 3 or synapse.in_channels != channels:
        return "its input does not fit"
    if isinstance(synapse.padding, str) or synapse.padding_mode != "zeros":
        return f"its convolution pads with {synapse.padding_mode}, {synapse.padding!r}"
    kernel, geometry = _pair(synapse.kernel_size), geometry_of(synapse)
    whole = (kernel, geometry.stride, geometry.padding, geometry.dilation)
    if not all(_is_size(pair, least) for pair, least in zip(whole, (1, 1, 0, 1), strict=True)):
        return f"its kernel, stride, padding and dilation are {whole}, not pairs of whole numbers"
    if synapse.groups < 1 or channels % synapse.groups:
        return f"its {channels} input channels are not {synapse.groups} groups"
    if reason := _misfit(synapse, (synapse.out_channels, channels // synapse.groups, *kernel)):
        return reason
    size = geometry.out_size((height, width), kernel)
    return (synapse, False, (*size, synapse.out_channels)) if min(size) > 0 else "its input is smaller than its kernel"


def geometry_of(weights: nn.Conv2d | nn.Linear) -> Geometry:
    """Return the geometry of a convolution; a fully connected layer has the default one."""
    if isinstance(weights, nn.Linear):
        return Geometry()
    return Geometry(_pair(weights.stride), _pair(weights.padding), _pair(weights.dilation), weights.groups)


def _is_size(pair: tuple[Any, ...], least: int) -> bool:
    return len(pair) == 2 and all(type(size) is int and size >= least for size in pair)


def _misfit(weights: nn.Conv2d | nn.Linear, shape: tuple[int, ...]) -> str:
    """Describe a layer's parameter whose size is not the layer's; "" if there is none."""
    for name, value, wanted in (("weight", weights.weight, shape), ("bias", weights.bias, shape[:1])):
        if isinstance(value, Tensor) and value.shape != wanted:
            return f"its {name} is {list(value.shape)}, expected {list(wanted)} in this {type(weights).__name__}"
    return ""


def why_not_values(values: Mapping[str, Tensor | None], device: torch.device) -> str:
    """Describe a layer's tensor that the kernels cannot read; "" if they can read all."""
    for name, tensor in values.items():
        if tensor is None:
            continue
        if not is_plain(tensor):
            return f"its {name} is a {type(tensor).__name__}, which is not a plain tensor"
        if tensor.dtype != torch.float32 or tensor.device != device:
            return f"its {name} is {tensor.dtype} on {tensor.device}"
    return ""


def _is_flatten(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


class Pooled(NamedTuple):
    """Pooling of the spikes of a block."""

    average: PoolSize
    """Window of the average; (1, 1) is none."""
    largest: PoolSize
    """Window of the maximum."""
    out: Layout


def pool_of(pool: nn.Module, image: tuple[int, int, int], flat: bool) -> Pooled | str:
    """Return the pooling after the spikes, and the layout that then leaves the block."""
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
            return f"its pool is {type(module).__name__}, which is no average or maximum over whole windows"
    if min(shape) < 1:
        down, across = map(max, average, largest)  # one of them is (1, 1)
        return f"its pooling window has {down}x{across} places on an image of {height}x{width}"
    features = shape[0] * shape[1] * shape[2]
    return Pooled(average, largest, Layout((features,) if flat else shape, (shape[1], shape[2], shape[0])))


def why_not_window(pooled: Pooled) -> str:
    """Return why the kernels do not average over a window; "" if they do."""
    height, width = pooled.average
    return "" if height * width <= LARGEST_WINDOW else f"its pooling window has {height}x{width} places, more than 255"


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


def why_not_norm(norm: nn.Module, steps: range, channels: int, *, whole: bool = True, single: bool = False) -> str:
    """Return why the kernels do not support a norm on these steps and channels; "" if they do."""
    if type(norm) is NoNorm:
        return ""
    if isinstance(getattr(norm, "eps", None), Tensor):
        return "its norm's eps is a tensor: kernels take a number"
    if type(norm) is LayerNorm:
        return "" if norm.channels == channels else f"its norm takes {norm.channels} channels"
    if not isinstance(norm, TemporalNorm) or type(norm) not in FAMILY:
        return f"its norm is {type(norm).__name__}, which the kernels do not support"
    if steps.stop > norm.num_steps or norm.channels != channels:
        return f"its norm takes {norm.num_steps} steps of {norm.channels} channels"
    if type(norm.method.pooling) not in (Window, AllSteps):
        return f"its pooling is {type(norm.method.pooling).__name__}, which the kernels do not support"
    if norm.running_mean.requires_grad or norm.running_var.requires_grad:
        return "its running statistics are learned"
    if norm.training and norm.method.pooling.looks_ahead and not whole:
        return f"{norm.method.name} takes its training statistics over all steps, and the call does not have all"
    return "its statistics would be of a single value" if norm.training and single else ""


def why_not_neuron(neuron: AnyNeuron, steps: range, channels: int, kernels: KernelName) -> str:
    """Return why the kernels do not support neurons on these steps and channels; "" if they do."""
    if type(neuron) not in (Neuron, FoldedNeuron):
        return f"its neurons are {type(neuron).__name__}, which the kernels do not support"
    if type(neuron.surrogate) not in (Triangle, FastSigmoid, ArcTan):
        return "its surrogate is a custom one"
    if any(isinstance(constant, Tensor) for constant in vars(neuron.surrogate).values()):
        return "its surrogate's constants are tensors"
    if isinstance(neuron, FoldedNeuron):
        return _why_not_folded(neuron, steps, channels)
    threshold: Any = neuron.threshold  # its type says that it is a number, but nothing enforces it
    if isinstance(threshold, Tensor):
        return f"its threshold is {'learned' if threshold.requires_grad else 'a tensor'}: kernels take a number"
    if isinstance(neuron.leak, Tensor) and neuron.leak.ndim and len(neuron.leak) != channels:
        return f"its {neuron.leak.numel()} leaks are not one for each of {channels} channels"
    if isinstance(neuron.leak, Tensor) and kernels != "cpu":
        return "its leak is learned, which only the CPU kernels support"
    if neuron.rule not in (fire_after, fire_before) or neuron.reset not in (soft_reset, hard_reset):
        return "its firing rule or reset is a custom one"
    return ""


def _why_not_folded(neuron: FoldedNeuron, steps: range, channels: int) -> str:
    if neuron.num_steps is not None and steps.stop > neuron.num_steps:
        return f"its folded neurons have {neuron.num_steps} steps"
    if neuron.channels not in (None, channels):
        return f"its folded neurons have {neuron.channels} channels, its current {channels}"
    learns = any(isinstance(table, Tensor) and table.requires_grad for _, table in neuron.tables())
    return "its folded neurons learn, which the kernels do not support" if learns else ""


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

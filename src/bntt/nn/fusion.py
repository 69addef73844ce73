"""Which blocks of a network may run as one fused run of :mod:`bntt.ops.fused`, and what such a run needs of them.

A block is fused when every part of it is exactly what the kernels know. Anything of yours (a subclass, a hook, another
dtype, a learnable leak) and anything wrong (a shape that does not fit) runs as the module that it is, on real floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from bntt.nn.block import SpikingBlock
from bntt.nn.lif import LIF
from bntt.nn.methods import NORMS
from bntt.nn.norm import NoNorm, Norm, TemporalNorm
from bntt.nn.untouched import has_global_hooks, why_touched
from bntt.ops.backend import device_of, find_backend
from bntt.ops.event_conv import Geometry, Spikes
from bntt.ops.execution import How
from bntt.ops.fused import Run, run_chunks, run_layers
from bntt.ops.fused_layer import Layer
from bntt.ops.lif import fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.norm_lif import Kernels, Neuron, Window
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

LARGEST_WINDOW = 255
"""Spikes of a pooling window are counted in a byte."""


class Place(NamedTuple):
    """What flows between two blocks: the shape that the modules see, and how it lies in memory."""

    shape: tuple[int, ...]
    """Of one image: ``(C, H, W)``, ``(F,)``."""
    memory: tuple[int, int, int]
    """Height, width, channels."""


class Fused(NamedTuple):
    """A block as the kernels see it."""

    layer: Layer
    out: Place
    neurons: int


def why_not_here(x: Tensor, kernels: Kernels) -> str:
    """Why nothing can be fused for this input; "" if something may be."""
    found = find_backend(kernels)
    if not found.available:
        return found.detail
    device = device_of(kernels)
    if x.device.type != device or x.dtype not in (torch.float32, torch.int8):
        return f"the kernels take float32 or int8 on {device}, the input is {x.dtype} on {x.device}"
    if x.numel() == 0:
        return "the input is empty"
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() or torch.is_autocast_enabled(device):
        return "the network is being compiled or traced, or autocast is on"
    if has_global_hooks():
        return "a hook for all modules is registered"
    if forward_ad._current_level >= 0 or torch._C._functorch.peek_interpreter_stack() is not None:
        return "forward-mode differentiation or a function transform is on"
    watched = torch._C._len_torch_dispatch_stack() > 0
    return "something watches PyTorch's operations, such as a FlopCounterMode" if watched else ""


def place_of(x: Tensor) -> Place:
    """Where an input ``[T, B, ...]`` begins."""
    shape = tuple(x.shape[2:])
    return Place(shape, (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, x[0, 0].numel()))


def fuse(block: nn.Module, steps: int, batch: int, place: Place, device: torch.device) -> Fused | str:
    """The block as a fused layer for inputs ``[steps, batch, *place.shape]`` on a device, or why it is none."""
    if type(block) is not SpikingBlock or type(block.lif) is not LIF:
        return "it is not a SpikingBlock with LIF neurons, but a class of its own"
    for name, module in block.named_modules():
        if reason := why_touched(module):
            return f"{name or 'it'} {reason}"
    for name, tensor in (*block.named_parameters(), *block.named_buffers()):
        if tensor.dtype != torch.float32 or tensor.device != device:
            return f"{name} is {tensor.dtype} on {tensor.device}"
    synapse = _synapse(block.synapse, place)
    if isinstance(synapse, str):
        return synapse
    weights, flatten, (height, width, channels) = synapse
    pooled = _pool(block.pool, (channels, height, width), isinstance(weights, nn.Linear))
    if isinstance(pooled, str):
        return pooled
    window, out = pooled
    if reason := _why_not_norm(block.norm, steps, channels, batch * height * width) or _why_not_neuron(block.lif):
        return reason
    geometry = Geometry()
    if isinstance(weights, nn.Conv2d):
        geometry = Geometry(weights.stride, weights.padding, weights.dilation, weights.groups)  # type: ignore[arg-type]
    layer = Layer(
        geometry,
        flatten,
        window,
        _neuron(block.lif),
        weights.weight,
        weights.bias,
        **_normalisation(block.norm, steps, channels, device),
    )
    return Fused(layer, out, channels * height * width)


def longest_run(blocks: Iterable[nn.Module], x: Tensor, kernels: Kernels = "cpu") -> tuple[list[Fused], str]:
    """As many blocks from the first on as can be fused for this input, and why the next one cannot."""
    run: list[Fused] = []
    if reason := why_not_here(x, kernels):
        return run, reason
    place = place_of(x)
    for block in blocks:
        found = fuse(block, x.shape[0], x.shape[1], place, x.device)
        if isinstance(found, str):
            return run, found
        run.append(found)
        place = found.out
    return run, ""


def run_fused(blocks: Iterable[nn.Module], run: list[Fused], x: Tensor, how: How, *, mean: bool) -> Tensor:
    """The run's spikes ``[T, B, ...]``, or their mean over time ``[B, ...]``; running statistics take the batch in."""
    layers, spikes = _entered(run, x, how)
    job = Run(layers, how)
    out = run_layers(job, spikes, mean_over_time=mean)
    for block, found in zip(blocks, job.moments, strict=False):
        if found is not None and isinstance(block.norm, TemporalNorm):
            block.norm.take_in(found)
    return out.movedim(-1, -3).reshape(*out.shape[:-3], *run[-1].out.shape)


def trace_fused(run: list[Fused], x: Tensor, how: How) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Chunk by chunk: the run's spikes ``[K, B, ...]`` and every block's spikes per step and channel ``[K, C]``."""
    layers, spikes = _entered(run, x, how)
    for chunk, fired in run_chunks(Run(layers, how), spikes):
        out = chunk.floats()
        yield out.movedim(-1, 2).reshape(*out.shape[:2], *run[-1].out.shape), fired


def _entered(run: list[Fused], x: Tensor, how: How) -> tuple[list[Layer], Spikes]:
    """The layers and their input as the kernels take it.

    Where they go event-driven, signed spikes (int8) become events of two channels, one for each sign, and the weights
    meet them twice. Convolutions over so few channels are faster dense, but for the bits of their weight gradient.
    """
    layers = [fused.layer for fused in run]
    values = x.movedim(2, -1) if x.ndim == 5 else x.flatten(2)[:, :, None, None, :]
    if x.dtype != torch.int8 or how.kernels != "cpu":
        return layers, Spikes(values)
    if bool((x < 0).any()):
        dense = layers[0].weight.ndim == 4 and not torch.are_deterministic_algorithms_enabled()
        if dense or layers[0].geometry.groups != 1:
            return layers, Spikes(values)
        values = torch.cat([values.clamp(min=0), values.clamp(max=0).neg_()], -1)
        layers[0] = replace(layers[0], weight=torch.cat([layers[0].weight, -layers[0].weight], 1))
    counts = values.contiguous().view(torch.uint8)
    return layers, Spikes(counts, 1.0, max(1, int(counts.max())), float(counts.sum()) / counts.numel())


def _synapse(synapse: nn.Module, place: Place) -> tuple[nn.Conv2d | nn.Linear, bool, tuple[int, int, int]] | str:
    """The weights, whether their input must be flattened, and height, width and channels of the current."""
    flattens = False
    if type(synapse) is nn.Sequential and len(synapse) == 2 and _is_flatten(synapse[0]):
        synapse, flattens = synapse[1], True
    height, width, channels = place.memory
    if type(synapse) is nn.Linear:
        if not (flattens or len(place.shape) == 1) or synapse.in_features != height * width * channels:
            return "its input does not fit, or is not flat"
        return synapse, height * width > 1, (1, 1, synapse.out_features)
    if type(synapse) is not nn.Conv2d or flattens:
        return "its synapse is neither nn.Conv2d nor nn.Linear"
    if len(place.shape) != 3 or synapse.in_channels != channels:
        return "its input does not fit"
    if isinstance(synapse.padding, str) or synapse.padding_mode != "zeros":
        return f"its convolution pads with {synapse.padding_mode}, {synapse.padding!r}"
    kernel, stride = synapse.kernel_size, synapse.stride
    size = Geometry(stride, synapse.padding, synapse.dilation).out_size((height, width), kernel)  # type: ignore[arg-type]
    return (synapse, False, (*size, synapse.out_channels)) if min(size) > 0 else "its input is smaller than its kernel"


def _is_flatten(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


def _pool(pool: nn.Module, image: tuple[int, int, int], linear: bool) -> tuple[Window, Place] | str:
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
    return window, Place((features,) if flat else shape, (shape[1], shape[2], shape[0]))


def _average(module: nn.Module, height: int, width: int) -> Window | None:
    if type(module) is nn.AdaptiveAvgPool2d and module.output_size in (1, (1, 1)):
        return height, width
    if type(module) is not nn.AvgPool2d or module.ceil_mode or module.divisor_override is not None:
        return None
    kernel, stride, padding = (nn.modules.utils._pair(v) for v in (module.kernel_size, module.stride, module.padding))
    return kernel if kernel == stride and padding == (0, 0) else None


def _why_not_norm(norm: Norm, steps: int, channels: int, rows: int) -> str:
    if type(norm) is NoNorm:
        return ""
    if type(norm) is not TemporalNorm:
        return f"its norm is {type(norm).__name__}, which has no statistics per time step"
    if (norm.num_steps, norm.channels) != (steps, channels):
        return f"its norm takes {norm.num_steps} steps of {norm.channels} channels"
    if norm.training and norm.method.pooling is not None:
        return f"{norm.method.name} pools its training statistics over time"
    return "its statistics would be of a single value" if norm.training and rows == 1 else ""


def fused_norms() -> dict[str, str]:
    """For every norm by name, what the fused kernels do for it.

    >>> fused_norms()["tdbn"]
    'fused in evaluation; training in plain PyTorch: tdBN pools its training statistics over time'
    """
    found = {}
    for name, build in NORMS.items():
        norm = build(1, 2, 1.0)
        kernels, training = "fused in training and evaluation", _why_not_norm(norm, 2, 1, 2)
        if isinstance(norm, nn.Module) and training:
            evaluation = _why_not_norm(norm.eval(), 2, 1, 2)
            fused = "plain PyTorch" if evaluation else "fused in evaluation; training in plain PyTorch"
            kernels = f"{fused}: {evaluation or training}".replace(": its norm is", ": it is")
        found[name] = kernels
    return found


def _why_not_neuron(lif: LIF) -> str:
    if lif.leak_logit is not None:
        return "its leak is learned"
    if lif.rule not in (fire_after, fire_before) or lif.reset not in (soft_reset, hard_reset):
        return "its firing rule or reset is one of yours"
    if type(lif.surrogate) not in (Triangle, FastSigmoid, ArcTan):
        return "its surrogate is one of yours"
    return ""


def _neuron(lif: LIF) -> Neuron:
    return Neuron(
        leak=float(lif.leak),
        threshold=lif.threshold,
        fire_before=lif.rule is fire_before,
        hard_reset=lif.reset is hard_reset,
        surrogate=lif.surrogate,  # type: ignore[arg-type]
    )


def _normalisation(norm: Norm, steps: int, channels: int, device: torch.device) -> dict[str, Any]:
    """γ and β of every step, the statistics where they are given, and ε."""
    if not isinstance(norm, TemporalNorm):
        one = torch.ones(1, 1, device=device)
        ones, zeros = one.expand(steps, channels), torch.zeros_like(one).expand(steps, channels)
        return {"gamma": ones, "beta": None, "mean": zeros, "var": ones, "eps": 0.0}
    gamma, beta = norm.scale_and_shift()
    statistics = (None, None) if norm.training else (norm.running_mean, norm.running_var)
    values = {"gamma": gamma, "beta": beta, "mean": statistics[0], "var": statistics[1]}
    return {"eps": norm.eps} | {
        name: None if rows is None else rows.expand(steps, channels) for name, rows in values.items()
    }

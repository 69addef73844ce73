"""Tensors of modules, channels first, as the kernels have them in memory, channels last; and back."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph.flow import readers_of
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import Node
from bntt.engine.synapse import Spikes
from bntt.nn.fusion.fused_block import FusedBlock


def channels_last(x: Tensor) -> Tensor:
    """Return a network's input ``[S, B, ...]`` as ``[S, B, H, W, C]``.

    >>> channels_last(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 1, 1, 4])
    """
    return x.movedim(2, -1) if x.ndim == 5 else x.flatten(2)[:, :, None, None, :]


def left(out: Tensor, last: FusedBlock) -> Tensor:
    """Return a run's output ``[..., H, W, C]`` in a layout for modules.

    It has the strides that they know, also those of one channel or pixel, because oneDNN 3.12 crashes on some others.
    """
    if last.out.memory[:2] == (1, 1):  # one pixel lies alike
        return out.view(*out.shape[:-3], *last.out.shape)
    return out.movedim(-1, -3).reshape(-1).view(*out.shape[:-3], *last.out.shape)


def entered(nodes: list[Node], x: Tensor, compute: Compute) -> tuple[list[Node], Spikes]:
    """Return the nodes and their input as the kernels take it.

    Where they run event-driven, signed spikes (int8) become events of two channels, one for each sign, and the weights
    are applied to both. Convolutions over so few channels are faster dense, but for the bits of their weight gradient.
    """
    values = channels_last(x)
    if x.dtype != torch.int8 or compute.kernels != "cpu":
        return nodes, Spikes(values)
    layer, *rest = nodes
    if bool((x < 0).any()):
        if not isinstance(layer, Layer) or readers_of(nodes)[0] > 1 or layer.geometry.groups != 1:
            return nodes, Spikes(values)
        if layer.weight.ndim == 4 and not torch.are_deterministic_algorithms_enabled():
            return nodes, Spikes(values)
        values = torch.cat([values.clamp(min=0), values.clamp(max=0).neg_()], -1)
        nodes = [replace(layer, weight=torch.cat([layer.weight, -layer.weight], 1)), *rest]
    counts = values.contiguous().view(torch.uint8)
    bound = 1 << (max(1, int(counts.max())) - 1).bit_length()  # of few values: ways are timed for each of them
    return nodes, Spikes(counts, 1.0, bound, float(counts.sum()) / counts.numel())

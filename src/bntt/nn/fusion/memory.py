"""Conversion between the modules' layout, channels first, and the kernels', channels last."""

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

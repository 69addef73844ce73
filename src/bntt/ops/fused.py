"""A run of layers as one node of the autograd graph: layer by layer, each in chunks of a few time steps.

Between the layers go spike counts, one byte each. What survives to the backward pass is every layer's synaptic
current and its counts; the membrane is computed again there (:mod:`bntt.ops.norm_lif`). Without gradients the chunks
go through all layers in turn, and memory does not grow with T.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bntt.ops.event_conv import EventChoice, Spikes, Synapse, goes_by_events
from bntt.ops.fused_layer import Layer, Pass, backward, normalisation
from bntt.ops.norm import Moments
from bntt.ops.norm_lif import Affine, pooled_shape, scan
from bntt.ops.workspace import WORKSPACE

CHUNK_BYTES = 16 << 20
"""Of a layer's current in one chunk of time steps: what a processor's last-level cache holds."""


@dataclass(frozen=True)
class Run:
    """Consecutive layers, and how to work."""

    layers: Sequence[Layer]
    events: EventChoice = "measured"
    found: list[Moments | None] = field(default_factory=list)
    """Filled by the forward pass: the batch's statistics of every layer that takes its own."""


def run_layers(run: Run, x: Spikes, *, mean_over_time: bool) -> Tensor:
    """Drive the layers with x; ``[T, B, H, W, C]`` real spikes of the last one, or ``[B, H, W, C]`` their mean.

    Gradients reach ``x.values``, if it is float, and every layer's weight, bias, γ and β. Differentiating twice raises.
    """
    learned = [tensor for layer in run.layers for tensor in layer.learned]
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x.values, *learned)):
        out: Tensor = _RunLayers.apply(run, x, mean_over_time, x.values, *learned)  # type: ignore[no-untyped-call]
        return out
    steps, parts = x.values.shape[0], []
    total: Tensor | None = None
    for chunk, _ in run_chunks(run, x):
        if not mean_over_time:
            parts.append(chunk.floats())
            continue
        part = chunk.values.sum(0, dtype=torch.float32)
        total = part if total is None else total.add_(part)
        scale = chunk.scale / steps
    return torch.cat(parts) if total is None else total.mul_(scale)


def run_chunks(run: Run, x: Spikes) -> Iterator[tuple[Spikes, list[Tensor]]]:
    """Without gradients: chunk by chunk, the last layer's spikes and, for every layer, spikes per step and channel.

    What is yielded is overwritten by the next chunk.
    """
    synapses = [Synapse(layer.weight, layer.bias, layer.geometry) for layer in run.layers]
    membranes: list[Tensor | None] = [None] * len(run.layers)
    gathered: list[list[Moments]] = [[] for _ in run.layers]
    steps, size = x.values.shape[0], _chunk_steps(run.layers, x)
    for first in range(0, steps, size):
        last = min(steps, first + size)
        spikes, everything = x.steps(first, last), []
        taken: list[Tensor] = []
        for i, (layer, synapse) in enumerate(zip(run.layers, synapses, strict=True)):
            source = layer.enter(spikes)
            out = WORKSPACE.take(*layer.current_shape(source))
            current = synapse.forward(source, events=goes_by_events(synapse, source, run.events)[0], out=out)
            affine, _, found = normalisation(layer, current, first, last, None)
            if found is not None:
                gathered[i].append(found)
            if membranes[i] is None:
                membranes[i] = WORKSPACE.take(*current.shape[1:]).zero_()
            counts = WORKSPACE.take(*pooled_shape(current, layer.window), dtype=torch.uint8)
            fired = scan(current, affine, layer.neuron, layer.window, counts, membranes[i])
            WORKSPACE.give(out)
            taken.append(counts)
            everything.append(fired)
            spikes = layer.spikes(counts, fired)
        yield spikes, everything
        WORKSPACE.give(*taken)
    WORKSPACE.give(*membranes)
    run.found[:] = [_joined(rows) if rows else None for rows in gathered]


def _chunk_steps(layers: Sequence[Layer], x: Spikes) -> int:
    """How many steps of the largest layer make a chunk."""
    largest, source = x.values[0].numel(), Spikes(torch.empty(1, *x.values.shape[1:], device="meta"))
    for layer in layers:
        source = layer.enter(source)
        shape = layer.current_shape(source)
        current = torch.empty(shape, device="meta")
        largest = max(largest, current.numel())
        source = Spikes(torch.empty(pooled_shape(current, layer.window), device="meta"))
    return max(1, CHUNK_BYTES // (4 * largest))


def _joined(rows: list[Moments]) -> Moments:
    count = tuple(n for row in rows for n in row.count)
    return Moments(torch.cat([row.mean for row in rows]), torch.cat([row.var for row in rows]), count)


def _forward(run: Run, x: Spikes) -> tuple[Spikes, list[Pass]]:
    """Layer by layer, keeping what the backward pass needs."""
    passes, spikes = [], x
    run.found.clear()
    for layer in run.layers:
        source = layer.enter(spikes)
        synapse = Synapse(layer.weight, layer.bias, layer.geometry)
        forward_by_events, by_events = goes_by_events(synapse, source, run.events)
        whole = WORKSPACE.take(*layer.current_shape(source))
        membrane = WORKSPACE.take(*whole.shape[1:]).zero_()
        counts = WORKSPACE.take(*pooled_shape(whole, layer.window), dtype=torch.uint8)
        steps = len(whole)
        size = max(1, CHUNK_BYTES // (4 * max(whole[0].numel(), source.values[0].numel())))
        parts, inverses, found, fired = [], [], [], []
        for first in range(0, steps, size):
            last = min(steps, first + size)
            out = whole[first:last]
            current = synapse.forward(source.steps(first, last), events=forward_by_events, out=out)
            copy = None if current.data_ptr() == out.data_ptr() else out
            affine, inverse, batch = normalisation(layer, current, first, last, copy)
            fired.append(scan(current, affine, layer.neuron, layer.window, counts[first:last], membrane))
            parts.append(affine)
            inverses.append(inverse)
            found += [] if batch is None else [batch]
        WORKSPACE.give(membrane)
        run.found.append(_joined(found) if found else None)
        affine = Affine(*(torch.cat([getattr(part, name) for part in parts]) for name in ("mean", "scale", "shift")))
        passes.append(Pass(source, spikes.values.shape, whole, affine, torch.cat(inverses), by_events))
        spikes = layer.spikes(counts, torch.cat(fired))
    return spikes, passes


class _RunLayers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Run, x: Spikes, mean_over_time: bool, values: Tensor, *learned: Tensor | None) -> Tensor:
        spikes, ctx.passes = _forward(run, x)
        ctx.run, ctx.mean_over_time, ctx.steps = run, mean_over_time, len(spikes.values)
        ctx.save_for_backward(*(tensor for tensor in learned if tensor is not None))
        if mean_over_time:
            out = spikes.values.sum(0, dtype=torch.float32).mul_(spikes.scale / ctx.steps)
        else:
            out = spikes.floats()
        WORKSPACE.give(spikes.values)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises where the graph was freed or a weight has changed since the forward pass
        keep = torch._C._autograd._get_current_graph_task_keep_graph()
        towards, scale = grad.contiguous(), 1.0
        if ctx.mean_over_time:
            towards, scale = towards.unsqueeze(0), 1 / ctx.steps
        learned: list[Tensor | None] = []
        held: Tensor | None = None  # the buffer that `towards` lies in
        for i in range(len(ctx.passes) - 1, -1, -1):
            done, wants = ctx.passes[i], (ctx.needs_input_grad[4 + 4 * i], i > 0 or ctx.needs_input_grad[3])
            layer = ctx.run.layers[i]
            following, grads = backward(layer, done, towards, scale, keep=keep, wants=wants, chunk=CHUNK_BYTES)
            learned = [*grads, *learned]
            WORKSPACE.give(held)
            if not keep:
                WORKSPACE.give(done.source.values if i > 0 else None)
                ctx.passes[i] = None
            held = None if keep else done.current
            if following is not None:
                towards, scale = following, 1.0
        input_grad = towards.clone() if ctx.needs_input_grad[3] else None
        WORKSPACE.give(held)
        return None, None, None, input_grad, *learned

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

from bntt.ops.event_conv import EventChoice, Geometry, Spikes, Synapse, goes_by_events
from bntt.ops.norm import Moments
from bntt.ops.norm_lif import Affine, Neuron, Window, moments, pooled_shape, scan, scan_reverse
from bntt.ops.workspace import WORKSPACE

CHUNK_BYTES = 16 << 20
"""Of a layer's current in one chunk of time steps: what a processor's last-level cache holds."""


@dataclass(frozen=True)
class Layer:
    """One layer of a run. ``gamma`` and ``beta`` are ``[T, C]``; the statistics are given, or None: the batch's."""

    geometry: Geometry
    flatten: bool
    """Whether the input is flattened to ``C·H·W`` features first."""
    window: Window
    neuron: Neuron
    weight: Tensor
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    eps: float

    @property
    def learned(self) -> tuple[Tensor | None, ...]:
        return self.weight, self.bias, self.gamma, self.beta

    def enter(self, x: Spikes) -> Spikes:
        """The layer's input in the layout that it takes."""
        if not self.flatten:
            return x
        values = x.values.permute(0, 1, 4, 2, 3).flatten(2).contiguous()
        return Spikes(values[:, :, None, None, :], x.scale, x.largest, x.density)

    def leave(self, grad: Tensor, before: torch.Size) -> Tensor:
        """The gradient of :meth:`enter`, for an input that was ``before``."""
        if not self.flatten:
            return grad
        steps, batch, height, width, channels = before
        return grad.reshape(steps, batch, channels, height, width).permute(0, 1, 3, 4, 2).contiguous()

    def current_shape(self, x: Spikes) -> tuple[int, ...]:
        """The shape of the synaptic current for an input that was entered."""
        kernel = (1, 1) if self.weight.ndim == 2 else (self.weight.shape[2], self.weight.shape[3])
        size = self.geometry.out_size((x.values.shape[2], x.values.shape[3]), kernel)
        return (*x.values.shape[:2], *size, self.weight.shape[0])

    def spikes(self, counts: Tensor, fired: Tensor) -> Spikes:
        """What the layer gives to the next."""
        area = self.window[0] * self.window[1]
        return Spikes(counts, 1 / area, area, float(fired.sum()) / max(1, counts.numel()))


@dataclass
class Pass:
    """What one layer of one forward pass leaves for the backward pass; its buffers go back to the workspace then."""

    source: Spikes
    before: torch.Size
    """The input's shape before the layer flattened it."""
    current: Tensor
    affine: Affine
    inverse: Tensor
    by_events: bool
    """The weight gradient."""


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
            affine, _, found = _affine(layer, current, first, last, None)
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


def _affine(
    layer: Layer, current: Tensor, first: int, last: int, copy: Tensor | None
) -> tuple[Affine, Tensor, Moments | None]:
    """The normalisation of steps first..last-1, 1/√(σ² + ε), and the batch's moments where they were taken."""
    found = None
    if layer.mean is None or layer.var is None:
        mean, var = moments(current, copy)
        rows = current[0].numel() // current.shape[-1]
        found = Moments(mean, var, (rows,) * (last - first))
    else:
        mean, var = layer.mean[first:last], layer.var[first:last]
        if copy is not None:
            copy.copy_(current)
    inverse = (var + layer.eps).rsqrt()
    scale = layer.gamma.detach()[first:last] * inverse
    shift = torch.zeros_like(scale) if layer.beta is None else layer.beta.detach()[first:last]
    return Affine(mean.contiguous(), scale.contiguous(), shift.contiguous()), inverse.contiguous(), found


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
            affine, inverse, batch = _affine(layer, current, first, last, copy)
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


def _backward(
    layer: Layer, done: Pass, grad: Tensor, grad_scale: float, *, keep: bool, wants: tuple[bool, bool]
) -> tuple[Tensor | None, tuple[Tensor | None, ...]]:
    """The gradient of one layer towards its input, before it was flattened, and towards what it learns.

    ``wants``: the gradient of the weight, and of the input. Unless ``keep``, the saved current is used up.
    """
    batch_statistics = layer.mean is None
    grad_current = torch.empty_like(done.current) if keep else done.current
    sum_grad, sum_product = scan_reverse(
        done.current,
        done.affine,
        done.inverse,
        layer.neuron,
        layer.window,
        grad,
        grad_scale,
        grad_current,
        batch_statistics=batch_statistics,
    )
    synapse = Synapse(layer.weight, layer.bias, layer.geometry)
    weight_grad = torch.zeros(layer.weight.shape) if wants[0] else None
    input_grad = _synapse_backward(synapse, done, grad_current, weight_grad, wants_input=wants[1])
    bias_grad = None
    if layer.bias is not None:  # a constant in front of batch statistics changes nothing
        bias_grad = torch.zeros_like(layer.bias)
        if not batch_statistics:
            bias_grad += (done.affine.scale * sum_grad).sum(0)
    beta_grad = None if layer.beta is None else sum_grad.float()
    if input_grad is not None:
        input_grad = layer.leave(input_grad, done.before)
    return input_grad, (weight_grad, bias_grad, sum_product.float(), beta_grad)


def _synapse_backward(
    synapse: Synapse, done: Pass, grad_current: Tensor, weight_grad: Tensor | None, *, wants_input: bool
) -> Tensor | None:
    """Weight gradient into ``weight_grad``; the input's gradient over ``grad_current`` where it has room for it."""
    source = done.source.values
    steps, step_size = len(source), max(grad_current[0].numel(), source[0].numel())
    size = max(1, CHUNK_BYTES // (4 * step_size))
    input_grad = None
    if wants_input:
        fits = source.numel() <= grad_current.numel()
        flat = grad_current.flatten()[: source.numel()] if fits else WORKSPACE.take(source.numel())
        input_grad = flat.view(source.shape)
    for first in range(0, steps, size):
        last = min(steps, first + size)
        part = grad_current[first:last]
        if weight_grad is not None:
            synapse.add_weight_grad(weight_grad, done.source.steps(first, last), part, events=done.by_events)
        if input_grad is not None:  # the steps before are done with, and none of them is larger in the output
            shape = (source.shape[2], source.shape[3], source.shape[4])
            input_grad[first:last].copy_(synapse.input_grad(part, shape))
    return input_grad


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
            following, grads = _backward(ctx.run.layers[i], done, towards, scale, keep=keep, wants=wants)
            learned = [*grads, *learned]
            WORKSPACE.give(held)
            if not keep:
                WORKSPACE.give(done.source.values if i > 0 else None)
                ctx.passes[i] = None
            held = None if keep else done.current
            towards, scale = following, 1.0
        input_grad = towards.clone() if ctx.needs_input_grad[3] else None
        WORKSPACE.give(held)
        return None, None, None, input_grad, *learned

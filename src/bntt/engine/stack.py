"""A run of layers as one node of the autograd graph: layer by layer, each in chunks of a few time steps.

Between the layers go spike counts, one byte each. What survives to the backward pass is every layer's synaptic
current and its counts, of all steps or of one span of them (:mod:`bntt.engine.spans`); the membrane is computed again
there (:mod:`bntt.engine.scan`). Without gradients the chunks go through all layers in turn, and memory does not grow
with T.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bntt.engine import layer as layer_module
from bntt.engine import private
from bntt.engine.compute import Compute
from bntt.engine.layer import Gradients, Layer, Resolved, Saved, backward, forward, joined
from bntt.engine.spans import sizes, span_of
from bntt.engine.synapse import Spikes, Synapse
from bntt.engine.workspace import WORKSPACE
from bntt.ops.norm import Moments


@dataclass(frozen=True)
class Stack:
    """Consecutive layers, and how to work."""

    layers: Sequence[Layer]
    compute: Compute = Compute()
    moments: list[Moments | None] = field(default_factory=list)
    """Filled by the forward pass: the batch's statistics of every layer that takes its own."""

    def synapses(self) -> list[Synapse]:
        return [Synapse(one.weight, one.bias, one.geometry, self.compute.precision) for one in self.layers]


def run_stack(stack: Stack, x: Spikes, *, mean_over_time: bool) -> Tensor:
    """Drive the layers with x; ``[T, B, H, W, C]`` real spikes of the last one, or ``[B, H, W, C]`` their mean.

    Gradients reach ``x.values``, if it is float, and every layer's weight, bias, γ and β. Differentiating twice raises.
    """
    learned = [tensor for layer in stack.layers for tensor in layer.learned]
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x.values, *learned)):
        out: Tensor = _RunStack.apply(stack, x, mean_over_time, x.values, *learned)  # type: ignore[no-untyped-call]
        return out
    gathered = _Output(x.values.shape[0], mean_over_time)
    for chunk, _ in run_chunks(stack, x):
        gathered.add(chunk)
    return gathered.whole()


def run_chunks(stack: Stack, x: Spikes) -> Iterator[tuple[Spikes, list[Tensor]]]:
    """Without gradients: chunk by chunk, the last layer's spikes and, for every layer, spikes per step and channel.

    What is yielded is overwritten by the next chunk.
    """
    synapses = stack.synapses()
    found: list[list[Resolved]] = [[] for _ in stack.layers]
    membranes: list[Tensor | None] = [None] * len(stack.layers)
    steps = x.values.shape[0]
    largest = max(x.values[0].numel(), *(current for current, _ in sizes(stack.layers, x)))
    size = max(1, layer_module.CHUNK_BYTES // (4 * largest))  # also on a GPU: so memory does not grow with T
    for first in range(0, steps, size):
        spikes, taken, everything = x.steps(first, min(steps, first + size)), [], []
        for i, layer in enumerate(stack.layers):
            spikes, done, end = forward(layer, synapses[i], stack.compute, spikes, first, membranes[i])
            WORKSPACE.give(done.current, membranes[i])
            membranes[i] = end
            found[i].append(done.found)
            taken.append(spikes.values)
            everything.append(done.fired)
        yield spikes, everything
        WORKSPACE.give(*taken)
    WORKSPACE.give(*membranes)
    stack.moments[:] = [joined(parts).moments for parts in found]


class _Output:
    """The last layer's spikes as they come: all of them, or their mean over time."""

    def __init__(self, steps: int, mean_over_time: bool) -> None:
        self.steps, self.mean_over_time = steps, mean_over_time
        self.scale = 1.0
        self.parts: list[Tensor] = []

    def add(self, spikes: Spikes) -> None:
        if not self.mean_over_time:
            self.parts.append(spikes.floats())
            return
        count = spikes.count_over_time()  # exact: the mean does not depend on the parts
        self.parts = [self.parts[0].add_(count) if self.parts else count]
        self.scale = spikes.scale / self.steps

    def whole(self) -> Tensor:
        out = self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts)
        return out.mul_(self.scale) if self.mean_over_time else out


@dataclass
class _Span:
    """Steps of a run whose currents and spikes are kept together."""

    first: int
    last: int
    starts: list[Tensor | None]
    """Every layer's membrane before them; None is rest."""
    found: list[Resolved] = field(default_factory=list)
    """By the forward pass."""
    passes: list[Saved] = field(default_factory=list)
    """Of the layers; empty where they must be made again."""

    def forward(self, stack: Stack, synapses: list[Synapse], x: Spikes) -> tuple[Spikes, list[Tensor]]:
        """Spikes of the last layer and every layer's membrane after these steps."""
        spikes, ends = x.steps(self.first, self.last), []
        passes: list[Saved] = []  # whoever stops this half-way leaves a span without passes
        for i, (layer, synapse) in enumerate(zip(stack.layers, synapses, strict=True)):
            known = self.found[i] if i < len(self.found) else None
            spikes, done, end = forward(layer, synapse, stack.compute, spikes, self.first, self.starts[i], known)
            passes.append(done)
            ends.append(end)
        self.passes, self.found = passes, [done.found for done in passes]
        return spikes, ends

    def give_passes(self) -> None:
        """What lies between the layers and their currents are done with."""
        for i, done in enumerate(self.passes):
            WORKSPACE.give(done.current, done.source.values if i > 0 else None)
        self.passes = []

    def backward(
        self,
        stack: Stack,
        synapses: list[Synapse],
        towards: Tensor,
        scale: float,
        learned: list[Gradients],
        carries: list[Tensor | None],
        *,
        keep: bool,
        wants_input: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        """From the gradient of these steps' spikes to that of their input, and the buffer that it lies in."""
        held: Tensor | None = None
        following: Tensor | None = None
        passes = self.passes
        if not keep:  # what they hold is written over from here on, whether this comes to its end or not
            self.passes = []
        for i in range(len(passes) - 1, -1, -1):
            done, before = passes[i], held
            following, held = backward(
                stack.layers[i],
                synapses[i],
                stack.compute,
                done,
                towards,
                scale,
                learned[i],
                self.first,
                carry=carries[i],
                keep=keep,
                wants_input=i > 0 or wants_input,
            )
            WORKSPACE.give(before)
            if not keep and i > 0:
                WORKSPACE.give(done.source.values)
            if following is not None:
                towards, scale = following, 1.0
        return following, held


class _RunStack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, stack: Stack, x: Spikes, mean_over_time: bool, values: Tensor, *learned: Tensor | None
    ) -> Tensor:
        steps, synapses = x.values.shape[0], stack.synapses()
        size = span_of(stack.layers, x, stack.compute.recompute)
        ctx.spans, out = [], _Output(steps, mean_over_time)
        ends: list[Any] = [None] * len(stack.layers)
        for first in range(0, steps, size):
            if ctx.spans:
                ctx.spans[-1].give_passes()
            span = _Span(first, min(steps, first + size), ends)
            ctx.spans.append(span)
            spikes, ends = span.forward(stack, synapses, x)
            out.add(spikes)
            WORKSPACE.give(spikes.values)
        WORKSPACE.give(*ends)
        stack.moments[:] = [joined([span.found[i] for span in ctx.spans]).moments for i in range(len(stack.layers))]
        ctx.stack, ctx.x, ctx.mean_over_time = stack, x, mean_over_time
        ctx.save_for_backward(values, *(tensor for tensor in learned if tensor is not None))
        return out.whole()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values = ctx.saved_tensors[0]  # raises where the graph was freed, or input or weights have changed since
        stack, x, spans = ctx.stack, ctx.x, ctx.spans
        keep, wants_input = private.keeps_graph(), ctx.needs_input_grad[3]
        synapses = stack.synapses()
        grad = grad.contiguous().to(synapses[0].forward_dtype)
        learned = [
            Gradients.zero(layer, weight=ctx.needs_input_grad[4 + 4 * i]) for i, layer in enumerate(stack.layers)
        ]
        input_grad = torch.empty_like(values, memory_format=torch.contiguous_format) if wants_input else None
        carries: list[Tensor | None] = [None] * len(stack.layers)
        if len(spans) > 1:
            carries = [torch.zeros_like(start) for start in spans[-1].starts]
        for span in reversed(spans):
            again = not span.passes
            if again:
                spikes, ends = span.forward(stack, synapses, x)
                WORKSPACE.give(spikes.values, *ends)
            towards, scale = grad[span.first : span.last], 1.0
            if ctx.mean_over_time:
                towards, scale = grad.unsqueeze(0), 1 / x.values.shape[0]
            following, held = span.backward(
                stack, synapses, towards, scale, learned, carries, keep=keep and not again, wants_input=wants_input
            )
            if input_grad is not None and following is not None:
                input_grad[span.first : span.last].copy_(following)
            WORKSPACE.give(held)
        if not keep:
            WORKSPACE.give(*(start for span in spans for start in span.starts))
            ctx.spans = ctx.x = None
        return None, None, None, input_grad, *(one for layer in learned for one in layer)

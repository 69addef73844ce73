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
from bntt.engine.synapse import Prepared, Spikes, Synapse
from bntt.engine.workspace import WORKSPACE
from bntt.ops.norm import Moments


@dataclass(frozen=True)
class Stack:
    """Consecutive layers, and how to work."""

    layers: Sequence[Layer]
    compute: Compute = Compute()
    starts: Sequence[Tensor | None] = ()
    """Every layer's membrane before the first step, ``[B, H, W, C]``, which is left as it is; () and None are rest."""
    wants_ends: bool = False
    """Whether somebody goes on from the membranes after the last step."""
    prepared: Prepared | None = None
    """Weights as earlier steps took them, for passes without gradients."""
    moments: list[Moments | None] = field(default_factory=list)
    """Filled by the forward pass: the batch's statistics of every layer that takes its own."""
    fired: list[Tensor] = field(default_factory=list)
    """Filled by the forward pass: every layer's spikes per step and channel, ``[T, C]``, before its pool."""

    @property
    def membranes(self) -> list[Tensor | None]:
        return list(self.starts) or [None] * len(self.layers)

    def synapses(self, prepared: Prepared | None = None) -> list[Synapse]:
        """The layers' weights; as they were prepared, where that is given."""
        make = Synapse if prepared is None else prepared.synapse
        return [make(one.weight, one.bias, one.geometry, self.compute.precision) for one in self.layers]


def run_stack(stack: Stack, x: Spikes, *, mean_over_time: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Drive the layers with x.

    Gradients reach ``x.values``, if it is float, every layer's weight, bias, γ and β, and the membranes that it started
    from; and they come from the membranes after the last step. Differentiating twice raises.

    Returns:
        ``[T, B, H, W, C]`` real spikes of the last layer, or ``[B, H, W, C]`` their mean; and every layer's membrane
        after the last step, where it is wanted.
    """
    learned = [tensor for layer in stack.layers for tensor in layer.learned]
    if torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (x.values, *learned, *stack.membranes)
    ):
        out, *ends = _RunStack.apply(  # type: ignore[no-untyped-call]
            stack, x, mean_over_time, x.values, *learned, *stack.membranes
        )
        return out, tuple(ends)
    gathered, ends = _Output(x.values.shape[0], mean_over_time), []
    for chunk, _ in run_chunks(stack, x, ends):
        gathered.add(chunk)
    return gathered.whole(), tuple(ends)


def run_chunks(stack: Stack, x: Spikes, ends: list[Tensor] | None = None) -> Iterator[tuple[Spikes, list[Tensor]]]:
    """Without gradients: chunk by chunk, the last layer's spikes and, for every layer, spikes per step and channel.

    What is yielded is overwritten by the next chunk. ``ends`` takes the membranes after the last step, if the stack
    wants them.
    """
    synapses = stack.synapses(stack.prepared)
    found: list[list[Resolved]] = [[] for _ in stack.layers]
    fired: list[list[Tensor]] = [[] for _ in stack.layers]
    membranes, steps = stack.membranes, x.values.shape[0]
    largest = max(x.values[0].numel(), *(current for current, _ in sizes(stack.layers, x)))
    size = max(1, layer_module.CHUNK_BYTES // (4 * largest))  # also on a GPU: so memory does not grow with T
    for first in range(0, steps, size):
        spikes, taken = x.steps(first, min(steps, first + size)), []
        for i, layer in enumerate(stack.layers):
            spikes, done, end = forward(layer, synapses[i], stack.compute, spikes, first, membranes[i])
            WORKSPACE.give(done.current, membranes[i] if first > 0 else None)  # what it started from is the caller's
            membranes[i] = end
            found[i].append(done.found)
            taken.append(spikes.values)
            fired[i].append(done.fired)
        yield spikes, [parts[-1] for parts in fired]
        WORKSPACE.give(*taken)
    if stack.wants_ends and ends is not None:
        ends += [end for end in membranes if end is not None]
    else:
        WORKSPACE.give(*membranes)
    stack.moments[:] = [joined(parts).moments for parts in found]
    stack.fired[:] = [torch.cat(parts) for parts in fired]


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
    fired: list[Tensor] = field(default_factory=list)
    """Spikes per step and channel of every layer."""
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
        self.fired = [done.fired for done in passes]
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
        ctx: Any, stack: Stack, x: Spikes, mean_over_time: bool, values: Tensor, *others: Tensor | None
    ) -> tuple[Tensor, ...]:
        """``others`` are what the layers learn and the membranes that they start from."""
        steps, synapses = x.values.shape[0], stack.synapses()
        size = span_of(stack.layers, x, stack.compute.recompute)
        ctx.spans, out = [], _Output(steps, mean_over_time)
        ends: list[Any] = [None if start is None else start.detach() for start in stack.membranes]
        for first in range(0, steps, size):
            if ctx.spans:
                ctx.spans[-1].give_passes()
            span = _Span(first, min(steps, first + size), ends)
            ctx.spans.append(span)
            spikes, ends = span.forward(stack, synapses, x)
            out.add(spikes)
            WORKSPACE.give(spikes.values)
        if not stack.wants_ends:
            WORKSPACE.give(*ends)
        count = range(len(stack.layers))
        stack.moments[:] = [joined([span.found[i] for span in ctx.spans]).moments for i in count]
        stack.fired[:] = [torch.cat([span.fired[i] for span in ctx.spans]) for i in count]
        ctx.stack, ctx.x, ctx.mean_over_time = stack, x, mean_over_time
        ctx.save_for_backward(values, *(tensor for tensor in others if tensor is not None))
        ctx.set_materialize_grads(False)
        whole = out.whole()
        ctx.shapes = [whole.shape, *(end.shape for end in ends)]
        return whole, *(ends if stack.wants_ends else ())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *grad_ends: Tensor | None) -> tuple[Tensor | None, ...]:
        values = ctx.saved_tensors[0]  # raises where the graph was freed, or input or weights have changed since
        stack, x, spans, layers = ctx.stack, ctx.x, ctx.spans, ctx.stack.layers
        keep, wants_input, wants = private.keeps_graph(), ctx.needs_input_grad[3], ctx.needs_input_grad[4:]
        synapses = stack.synapses()
        grad = values.new_zeros(ctx.shapes[0], dtype=torch.float32) if grad is None else grad.contiguous()
        grad = grad.to(synapses[0].forward_dtype)
        learned = [Gradients.zero(layer, weight=wants[4 * i]) for i, layer in enumerate(layers)]
        wants_starts = wants[4 * len(layers) :]
        input_grad = torch.empty_like(values, memory_format=torch.contiguous_format) if wants_input else None
        carries = _carries(ctx.shapes[1:], grad_ends, grad, every=len(spans) > 1 or any(wants_starts))
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
            WORKSPACE.give(*(start for span in spans[1:] for start in span.starts))  # the first ones are the caller's
            ctx.spans = ctx.x = None
        starts = (carry if wanted else None for carry, wanted in zip(carries, wants_starts, strict=True))
        return None, None, None, input_grad, *(one for layer in learned for one in layer), *starts


def _carries(shapes: Sequence[torch.Size], grad_ends: Sequence[Tensor | None], like: Tensor, *, every: bool) -> Any:
    """The gradients of the membranes after the last step, to be written over; None where none follows or precedes."""
    carries: list[Tensor | None] = []
    for shape, given in zip(shapes, grad_ends or [None] * len(shapes), strict=True):
        if given is not None:
            carries.append(given.contiguous().clone())
        else:
            carries.append(torch.zeros(shape, device=like.device) if every else None)
    return carries

"""A run of layers as one node of the autograd graph: layer by layer, each in chunks of a few time steps.

Between the layers go spike counts, one byte each. What survives to the backward pass is every layer's synaptic
current and its counts, of all steps or of one span of them (:mod:`bntt.engine.spans`); the membrane is computed again
there (:mod:`bntt.engine.scan`). Without gradients the chunks go through all layers in turn, and memory does not grow
with T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bntt.engine import layer as layer_module
from bntt.engine import private
from bntt.engine.compute import Compute
from bntt.engine.layer import Carry, Gradients, Layer, Start
from bntt.engine.layer_pass import LayerPass
from bntt.engine.measure import Measure, Seen, joined_seen, moments_taken
from bntt.engine.neuron import SpikeGrad
from bntt.engine.spans import Span, saves_memory, sizes, span_of
from bntt.engine.synapse import Prepared, Spikes, Synapse
from bntt.engine.workspace import WORKSPACE, Lease
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
    measure: Measure = Measure()
    """Of every layer; the potentials of single neurons are not the kernels' to follow."""

    @property
    def membranes(self) -> list[Tensor | None]:
        return list(self.starts) or [None] * len(self.layers)

    def passes(self, lease: Lease, prepared: Prepared | None = None, *, drops: bool = False) -> list[LayerPass]:
        """One pass through every layer; with the weights as they were prepared, where that is given.

        Args:
            drops: whether currents are not kept for the backward pass.
        """
        make, compute = Synapse if prepared is None else prepared.synapse, self.compute
        synapses = [make(one.weight, one.bias, one.geometry, compute.precision) for one in self.layers]
        return [
            LayerPass(one, synapse, compute, lease, self.measure, drops)
            for one, synapse in zip(self.layers, synapses, strict=True)
        ]


@dataclass(frozen=True)
class Ran:
    """What a run of a stack gives; of every layer in its order."""

    out: Tensor
    """Real spikes of the last layer, ``[T, B, H, W, C]``, or their mean over time, ``[B, H, W, C]``."""
    ends: tuple[Tensor, ...]
    """Membranes after the last step, where they are wanted; else ()."""
    moments: tuple[Moments | None, ...]
    """The batch's, where a layer takes its own."""
    seen: tuple[Seen, ...]
    """What was measured, and always the spikes by step and channel."""


def run_stack(stack: Stack, x: Spikes, *, mean_over_time: bool) -> Ran:
    """Drive the layers with x.

    Gradients reach ``x.values``, if it is float, what every layer learns, and the membranes that it started from; and
    they come from ``out`` and ``ends``. Differentiating twice raises.
    """
    learned = [tensor for layer in stack.layers for tensor in layer.learned]
    if torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (x.values, *learned, *stack.membranes)
    ):
        out, *ends, moments, seen = _RunStack.apply(  # type: ignore[no-untyped-call]
            stack, x, mean_over_time, x.values, *learned, *stack.membranes
        )
        return Ran(out, tuple(ends), moments, seen)
    with WORKSPACE.lease() as lease:
        return _without_gradients(stack, x, mean_over_time, lease)


def _without_gradients(stack: Stack, x: Spikes, mean_over_time: bool, lease: Lease) -> Ran:
    """Chunk by chunk through all layers."""
    passes, steps = stack.passes(lease, stack.prepared), x.values.shape[0]
    out = _Output(steps, mean_over_time)
    found: list[list[Moments | None]] = [[] for _ in passes]
    seen: list[list[Seen]] = [[] for _ in passes]
    carried, size = [Start(membrane) for membrane in stack.membranes], _chunk_steps(passes, x)
    for first in range(0, steps, size):
        spikes = x.steps(first, min(steps, first + size))
        for i, one in enumerate(passes):
            spikes, done, end, looked = one.forward(spikes, first, carried[i])
            lease.give(done.current, done.held)
            if first > 0:  # what it started from is the caller's
                lease.give(carried[i].membrane)
            carried[i] = end
            found[i].append(done.found.moments)
            seen[i].append(looked)
        out.add(spikes)
        lease.give(spikes.values)
    ends = [lease.keep(end.membrane) for end in carried if end.membrane is not None] if stack.wants_ends else []
    return Ran(out.whole(), tuple(ends), tuple(map(moments_taken, found)), tuple(map(joined_seen, seen)))


def _chunk_steps(passes: Sequence[LayerPass], x: Spikes) -> int:
    """How many steps go through all layers at a time, also on a GPU, so that memory does not grow with T; but all
    where statistics wait for them, or for other processes, which may have chunks of other sizes."""
    if any(one.waits for one in passes):
        return len(x.values)
    largest = max(x.values[0].numel(), *(current for current, _ in sizes([one.layer for one in passes], x)))
    return max(1, layer_module.CHUNK_BYTES // (4 * largest))


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


class _RunStack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, stack: Stack, x: Spikes, mean_over_time: bool, values: Tensor, *others: Tensor | None
    ) -> tuple[Any, ...]:
        """``others`` are what the layers learn and the membranes that they start from. The moments and what was seen
        are no tensors for autograd."""
        steps, size = x.values.shape[0], span_of(stack.layers, x, stack.compute)
        out = _Output(steps, mean_over_time)
        spans: list[Span] = []
        looked: list[list[Seen]] = []
        with WORKSPACE.lease() as lease:
            drops = any(layer.looks_ahead for layer in stack.layers) and saves_memory(stack.layers, x, stack.compute)
            passes = stack.passes(lease, drops=drops)
            ends = [Start(None if start is None else start.detach()) for start in stack.membranes]
            for first in range(0, steps, size):
                if spans:
                    spans[-1].forget(lease)
                spans.append(Span(first, min(steps, first + size), ends))
                spikes, ends, of_span = spans[-1].forward(passes, x)
                looked.append(of_span)
                out.add(spikes)
                lease.give(spikes.values)
            whole = out.whole()
            membranes: list[Any] = [end.membrane for end in ends]
            if stack.wants_ends:
                membranes = [lease.keep(membrane) for membrane in membranes]
            else:
                lease.give(*membranes)
            found = zip(*(span.found for span in spans), strict=True)
            moments = tuple(moments_taken([part.moments for part in parts]) for parts in found)
            seen = tuple(map(joined_seen, zip(*looked, strict=True)))
            ctx.lease = lease.pop_all()
        ctx.stack, ctx.x, ctx.mean_over_time, ctx.spans = stack, x, mean_over_time, spans
        ctx.norms, ctx.shapes = [one.gradient for one in seen], [whole.shape, *(one.shape for one in membranes)]
        ctx.save_for_backward(values, *(tensor for tensor in others if tensor is not None))
        ctx.set_materialize_grads(False)
        return whole, *(membranes if stack.wants_ends else ()), moments, seen

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        values = ctx.saved_tensors[0]  # raises where the graph was freed, or input or weights have changed since
        stack, x, spans, layers = ctx.stack, ctx.x, ctx.spans, ctx.stack.layers
        keep, wants_input, wants = private.keeps_graph(), ctx.needs_input_grad[3], ctx.needs_input_grad[4:]
        grad = values.new_zeros(ctx.shapes[0], dtype=torch.float32) if grad is None else grad.contiguous()
        each = len(layers[0].learned)
        wants_weights, wants_starts = wants[: each * len(layers) : each], wants[each * len(layers) :]
        learned = [
            Gradients.zero(layer, norms, weight=wanted)
            for layer, norms, wanted in zip(layers, ctx.norms, wants_weights, strict=True)
        ]
        input_grad = torch.empty_like(values, memory_format=torch.contiguous_format) if wants_input else None
        carries = _carries(ctx.shapes[1:], grads[:-2], grad, every=len(spans) > 1 or any(wants_starts))
        if not keep:
            ctx.spans = ctx.x = None
        with WORKSPACE.lease() if keep else ctx.lease as lease:
            passes = stack.passes(lease)
            grad = grad.to(passes[0].synapse.forward_dtype)
            for span in reversed(spans):
                again = not span.saved
                if again:
                    spikes, ends, _ = span.forward(passes, x)
                    lease.give(spikes.values, *(end.membrane for end in ends))
                towards = SpikeGrad(grad[span.first : span.last])
                if ctx.mean_over_time:
                    towards = SpikeGrad(grad.unsqueeze(0), 1 / x.values.shape[0])
                following, held = span.backward(
                    passes, towards, learned, carries, keep=keep and not again, wants_input=wants_input
                )
                if input_grad is not None and following is not None:
                    input_grad[span.first : span.last].copy_(following)
                lease.give(held)
        starts = (carry.membrane if wanted else None for carry, wanted in zip(carries, wants_starts, strict=True))
        return None, None, None, input_grad, *(one for layer in learned for one in layer), *starts


def _carries(
    shapes: Sequence[torch.Size], grad_ends: Sequence[Tensor | None], like: Tensor, *, every: bool
) -> list[Carry]:
    """The gradients of the membranes after the last step, to be written over; None where none follows or precedes."""
    carries: list[Carry] = []
    for shape, given in zip(shapes, grad_ends or [None] * len(shapes), strict=True):
        if given is not None:
            carries.append(Carry(given.contiguous().clone()))
        else:
            carries.append(Carry(torch.zeros(shape, device=like.device) if every else None))
    return carries

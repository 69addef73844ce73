"""A run of nodes as one node of the autograd graph: node by node, each in chunks of a few time steps.

Layers exchange spike counts, one byte each. What survives to the backward pass is every layer's synaptic current and
its counts, of all steps or of one span of them (:mod:`bntt.engine.graph.spans`); the membrane is computed again there
(:mod:`bntt.engine.scan`). Without gradients the chunks go through all nodes in turn, and memory does not grow with T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bntt.engine import private
from bntt.engine.compute import Compute
from bntt.engine.graph import flow, weightless
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.layer_pass import LayerPass
from bntt.engine.graph.node import Carry, How, Node, NodePass, Start, Towards, differentiable_once
from bntt.engine.graph.recording import Measure, Seen, joined_seen, moments_taken
from bntt.engine.graph.spans import Span, largest_step, saves_memory, sizes, span_of, steps_at_once
from bntt.engine.layer_spec import SpikeGrad
from bntt.engine.packed_weights import Prepared
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import WORKSPACE, Lease
from bntt.ops.norm import Moments

PASSES: dict[type, Callable[[Any, How], NodePass]] = {
    Layer: LayerPass.begin,
    weightless.Fire: weightless.FirePass,
    weightless.Sum: weightless.SumPass,
    weightless.MaxPool: weightless.MaxPoolPass,
    weightless.Mask: weightless.MaskPass,
}
"""The pass of every kind of node."""


@dataclass(frozen=True)
class Stack:
    """An ordered run of nodes, and its settings."""

    nodes: Sequence[Node]
    compute: Compute = Compute()
    starts: Sequence[Start] = ()
    """State of every node before the first step, which is not modified; () is rest."""
    wants_ends: bool = False
    """True if their state after the last step is needed."""
    prepared: Prepared | None = None
    """Weights prepared in earlier steps, for passes without gradients."""
    measure: Measure = Measure()
    """Measurements of every layer; the kernels do not follow the potentials of single neurons."""

    @property
    def carried(self) -> list[Start]:
        return list(self.starts) or [Start()] * len(self.nodes)

    def passes(self, how: How) -> list[NodePass]:
        """Return one pass through every node."""
        return [PASSES[type(node)](node, how) for node in self.nodes]


@dataclass(frozen=True)
class Ran:
    """The result of running a stack; tuples have an entry for every node, in order."""

    out: Tensor
    """Output of the last node, ``[T, B, H, W, C]``, or its mean over time, ``[B, H, W, C]``."""
    ends: tuple[Start, ...]
    """State after the last step, where wanted; else ()."""
    moments: tuple[Moments | None, ...]
    """Batch moments, if a layer takes its own."""
    seen: tuple[Seen | None, ...]
    """Measurements, always with the spikes by step and channel."""


def run_stack(stack: Stack, x: Spikes, *, mean_over_time: bool) -> Ran:
    """Drive the nodes by x."""
    learned = [tensor for node in stack.nodes for tensor in node.learned]
    starts = [tensor for start in stack.carried for tensor in _tensors(start)]
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x.values, *learned, *starts)):
        out, *ends, counts, moments, seen = _RunStack.apply(  # type: ignore[no-untyped-call]
            stack, x, mean_over_time, x.values, *learned, *starts
        )
        return Ran(out, tuple(map(_start, zip(*[iter(ends)] * 3, strict=True), counts)), moments, seen)
    with WORKSPACE.lease() as lease:
        return _without_gradients(stack, x, mean_over_time, lease)


def _tensors(start: Start) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the tensors of a start that autograd sees: the membrane, and mean and variance of the pooled steps."""
    return (start.membrane, None, None) if start.past is None else (start.membrane, start.past.mean, start.past.var)


def _start(tensors: Sequence[Tensor | None], counts: tuple[int, ...]) -> Start:
    """Invert :func:`_tensors`."""
    membrane, mean, var = tensors
    return Start(membrane, None if mean is None or var is None else Moments(mean, var, counts))


def _moments(found: Sequence[Any]) -> Moments | None:
    """Join the moments of consecutive steps of one node, where it took the batch's."""
    return moments_taken([None if part is None else part.moments for part in found])


def _seen(parts: Sequence[Seen | None]) -> Seen | None:
    return joined_seen([part for part in parts if part is not None]) if parts[0] is not None else None


def _without_gradients(stack: Stack, x: Spikes, mean_over_time: bool, lease: Lease) -> Ran:
    """Run chunk by chunk through all nodes."""
    passes = stack.passes(How(stack.compute, lease, stack.measure, prepared=stack.prepared, in_place=True))
    out, carried, chunks = Output(len(x.values), mean_over_time), stack.carried, list(_chunks(stack.nodes, passes, x))
    found: list[list[Any]] = [[] for _ in passes]
    seen: list[list[Seen | None]] = [[] for _ in passes]
    for first, last in chunks:
        went = flow.forward(passes, x.steps(first, last), first, carried, keep=None)
        carried = went.ends
        for i in range(len(passes)):
            found[i].append(went.found[i])
            seen[i].append(went.seen[i])
        out.add(went.out)
        lease.give(went.out.values)
    ends = tuple(_kept(end, lease) for end in carried) if stack.wants_ends else ()
    return Ran(out.whole(), ends, tuple(map(_moments, found)), tuple(map(_seen, seen)))


def _kept(end: Start, lease: Lease) -> Start:
    """Keep the membrane of an end state beyond the pass."""
    return end if end.membrane is None else end._replace(membrane=lease.keep(end.membrane))


def _chunks(nodes: Sequence[Node], passes: Sequence[NodePass], x: Spikes) -> Iterator[tuple[int, int]]:
    """Yield the steps that go through all nodes at a time, so that memory does not grow with T."""
    steps = size = len(x.values)
    if not any(one.waits for one in passes):
        size = steps_at_once(max(x.values[0].numel(), largest_step(sizes(nodes, x))))
    return ((first, min(steps, first + size)) for first in range(0, steps, size))


class Output:
    """The last node's output as it comes: all of it, or its mean over time."""

    def __init__(self, steps: int, mean_over_time: bool) -> None:
        self.steps, self.mean_over_time = steps, mean_over_time
        self.scale = 1.0
        self.parts: list[Tensor] = []

    def add(self, spikes: Spikes) -> None:
        if not self.mean_over_time:
            self.parts.append(spikes.floats() if spikes.counted else spikes.values.clone())
            return
        # for counts it is exact: the mean does not depend on the parts
        count = spikes.count_over_time() if spikes.counted else spikes.values.sum(0)
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
        """Run the stack; ``others`` are what the nodes learn and start from."""
        steps, size = len(x.values), span_of(stack.nodes, x, stack.compute)
        out = Output(steps, mean_over_time)
        spans: list[Span] = []
        looked: list[list[Seen | None]] = []
        with WORKSPACE.lease() as lease:
            drops = any(node.looks_ahead for node in stack.nodes) and saves_memory(stack.nodes, x, stack.compute)
            passes = stack.passes(How(stack.compute, lease, stack.measure, drops))
            ends, (*_, keep) = [_detached(start) for start in stack.carried], _wants(stack, ctx.needs_input_grad)
            for first in range(0, steps, size):
                if spans:
                    spans[-1].forget(lease)
                spans.append(Span(first, min(steps, first + size), ends, keep))
                went = spans[-1].forward(passes, x)
                ends = went.ends
                looked.append(went.seen)
                out.add(went.out)
                lease.give(went.out.values)
            whole = out.whole()
            if stack.wants_ends:
                ends = [_kept(end, lease) for end in ends]
            else:
                lease.give(*(end.membrane for end in ends))
            moments = tuple(map(_moments, zip(*(span.found for span in spans), strict=True)))
            seen = tuple(map(_seen, zip(*looked, strict=True)))
            ctx.lease = lease.pop_all()
        ctx.stack, ctx.x, ctx.mean_over_time, ctx.spans = stack, x, mean_over_time, spans
        ctx.norms = [None if one is None else one.gradient for one in seen]
        ctx.shape, ctx.ends = whole.shape, [None if end.membrane is None else end.membrane.shape for end in ends]
        ctx.save_for_backward(values, *(tensor for tensor in others if tensor is not None))
        ctx.set_materialize_grads(False)
        given = [part for end in ends for part in _tensors(_own(end))] if stack.wants_ends else []
        counts = [() if end.past is None else end.past.count for end in ends] if stack.wants_ends else []
        return whole, *given, counts, moments, seen

    @staticmethod
    @differentiable_once  # unpacking raises if the graph was freed, or input or weights have changed since
    def backward(ctx: Any, saved: Any, grad: Tensor | None, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        values = saved[0]
        stack, x, spans = ctx.stack, ctx.x, ctx.spans
        keep, (wanted, wants_starts, last) = private.keeps_graph(), _wants(stack, ctx.needs_input_grad)
        grad = values.new_zeros(ctx.shape, dtype=torch.float32) if grad is None else grad.contiguous()
        input_grad = torch.empty_like(values, memory_format=torch.contiguous_format) if last < 0 else None
        carries = _carries(ctx.ends, grads[:-3], grad, every=len(spans) > 1 or any(map(any, wants_starts)))
        if not keep:
            ctx.spans = ctx.x = None
        with WORKSPACE.lease() if keep else ctx.lease as lease:
            passes = stack.passes(How(stack.compute, lease))
            zeros = [one.zero(of) for one, of in zip(passes, wanted, strict=True)]
            learned = list(zip(zeros, ctx.norms, strict=True))
            for span in reversed(spans):
                again = span.went is None
                if again:
                    went = span.forward(passes, x)
                    lease.give(went.out.values, *(end.membrane for end in went.ends))
                towards = SpikeGrad(grad[span.first : span.last])
                if ctx.mean_over_time:
                    towards = SpikeGrad(grad.unsqueeze(0), 1 / len(x.values))
                stays = keep and not again
                following = span.backward(passes, Towards(towards), learned, carries, keep=stays, last=last)
                if following is None:
                    continue
                if input_grad is not None:
                    torch.mul(following.grad.values, following.grad.scale, out=input_grad[span.first : span.last])
                lease.give(following.held)
        starts = [
            part if want else None
            for carry, wanted in zip(carries, wants_starts, strict=True)
            for part, want in zip((carry.membrane, *(carry.past or (None, None))), wanted, strict=True)
        ]
        return None, None, None, input_grad, *(one for node in zeros for one in node), *starts


def _wants(stack: Stack, needed: Sequence[bool]) -> tuple[list[list[bool]], list[list[bool]], int]:
    """Return which gradients are wanted of what every node learns and starts from; and where they end, see flow."""
    rest = iter(needed[4:])
    learned = [[next(rest) for _ in node.learned] for node in stack.nodes]
    starts = [[next(rest) for _ in range(3)] for _ in stack.nodes]
    first = next((i for i, wants in enumerate(zip(learned, starts, strict=True)) if any(map(any, wants))), 0)
    return learned, starts, -1 if needed[3] else 0 if stack.measure.gradient else first


def _own(end: Start) -> Start:
    """Return tensors other than the graph's own: those and the graph would keep each other alive."""
    past, membrane = end.past, end.membrane
    moments = None if past is None else Moments(past.mean.clone(), past.var.clone(), past.count)
    return Start(None if membrane is None else membrane.detach(), moments)


def _detached(start: Start) -> Start:
    membrane, mean, var = (None if tensor is None else tensor.detach() for tensor in _tensors(start))
    return _start((membrane, mean, var), () if start.past is None else start.past.count)


def _carries(
    shapes: Sequence[torch.Size | None], grads: Sequence[Tensor | None], like: Tensor, *, every: bool
) -> list[Carry]:
    """Return the gradients of what is carried beyond the last step; they may be overwritten."""
    carries: list[Carry] = []
    for i, shape in enumerate(shapes):
        membrane, mean, var = grads[3 * i : 3 * i + 3] if grads else (None, None, None)
        if membrane is not None:
            membrane = membrane.contiguous().clone()
        elif every and shape is not None:
            membrane = torch.zeros(shape, dtype=torch.float32, device=like.device)
        carries.append(Carry(membrane, _of_moments(mean, var)))
    return carries


def _of_moments(mean: Tensor | None, var: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Return gradients of pooled moments in float64, like a pooling's tables; a missing one is 0; None if both are."""
    if mean is None:
        return None if var is None else (torch.zeros_like(var).double(), var.double())
    return mean.double(), torch.zeros_like(mean).double() if var is None else var.double()

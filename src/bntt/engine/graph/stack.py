"""A run of nodes as one node of the autograd graph: node by node, each in chunks of a few time steps.

Layers exchange spike counts, one byte each. What survives to the backward pass is every layer's synaptic current and
its counts, of all steps or of one span of them; the membrane is computed again there. Without gradients the chunks go
through all nodes in turn, and memory does not grow with T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bntt.engine import private
from bntt.engine.compute import Compute
from bntt.engine.graph import layer
from bntt.engine.graph.node import GradState, Learned, Node, PassContext, Size, Start, differentiable_once
from bntt.engine.graph.recording import LayerMeasures, Measure, join_steps
from bntt.engine.layer_spec import SpikeGrad
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import WORKSPACE, Lease
from bntt.ops.norm import Moments


@dataclass
class Value:
    """The output of a node, or the input of the run."""

    spikes: Spikes | None
    held: Tensor | None
    """The buffer of the lease that it lies in; None: it does not belong to the pass."""
    readers: int
    """Number of nodes that have yet to read it."""
    keepers: int = 0
    """Number of nodes whose backward pass reads it."""

    def release(self, lease: Lease) -> None:
        """Give it back if nothing needs it any more."""
        if self.readers == self.keepers == 0:
            lease.give(self.held)
            self.spikes = self.held = None


@dataclass
class Span:
    """Some steps that went through all nodes, and what is kept of them for the backward pass."""

    first: int
    starts: Sequence[Start]
    """State of every node before them."""
    ends: list[Start] = field(default_factory=list)
    """End state of every node."""
    found: list[Any] = field(default_factory=list)
    """What a second pass over the same steps reuses, of every node."""
    saved: list[Any] = field(default_factory=list)
    """Of every node; empty if it must be computed again."""
    values: list[Value] = field(default_factory=list)
    """The input, and the output of every node."""


def readers_of(nodes: Sequence[Node]) -> list[int]:
    """Count the nodes that read each value; the last has one more reader: the caller."""
    counts = [0] * len(nodes) + [1]
    for i, node in enumerate(nodes):
        for back in node.reads:
            counts[i + 1 + back] += 1
    return counts


def forward(
    nodes: Sequence[Node],
    how: PassContext,
    x: Spikes,
    first: int,
    starts: Sequence[Start],
    *,
    keep: int | None,
    found: Sequence[Any] = (),
) -> tuple[Span, Spikes, list[LayerMeasures | None]]:
    """Drive the nodes by some steps; what nodes from ``keep`` on save is kept, and ``found`` is an earlier pass's.

    The caller must give back the buffer of the output.
    """
    span, readers, lease, seen, out = Span(first, starts), readers_of(nodes), how.lease, list[LayerMeasures | None](), x
    span.values.append(Value(x, None, readers[0]))
    for i, node in enumerate(nodes):
        read = [span.values[i + 1 + back] for back in node.reads]
        inputs = [value.spikes for value in read if value.spikes is not None]
        passed = node.forward(how, inputs, first, starts[i], found[i] if found else None)
        kept = keep is not None and i >= keep
        for value, keeps in zip(read, passed.keeps, strict=True):
            value.readers -= 1
            value.keepers += kept and keeps
            value.release(lease)
        out = passed.out
        span.values.append(Value(passed.out, passed.out.values, readers[i + 1]))
        span.ends.append(passed.end)
        seen.append(passed.seen)
        span.found.append(passed.found)
        span.saved.append((passed.saved, passed.keeps, passed.buffers) if kept else None)
        if not kept:
            lease.give(*passed.buffers)
    return span, out, seen


def forget(span: Span, lease: Lease) -> None:
    """Release what was kept: it is computed again, or no backward pass will follow."""
    for kept in span.saved:
        if kept is not None:
            lease.give(*kept[2])
    for value in span.values:
        if value.keepers:
            value.readers = value.keepers = 0
            value.release(lease)
    span.saved, span.values = [], []


def backward(
    nodes: Sequence[Node],
    how: PassContext,
    span: Span,
    grad: SpikeGrad,
    learned: Sequence[tuple[Learned, Tensor | None]],
    carries: Sequence[GradState],
    *,
    last: int,
) -> SpikeGrad | None:
    """Propagate the gradient of the last node's output back to node ``last``; return the input's, if that is -1.

    What the span kept is overwritten. ``learned`` are the gradients of what every node learns, to which these steps'
    part is added, and buffers for the norms of each step's gradient towards its current.
    """
    rest, lease = replace(span, saved=span.saved[: max(0, last)]), how.lease
    saved, values, span.saved, span.values = span.saved, span.values, [], []  # also if an error ends this early
    into: list[SpikeGrad | None] = [None] * len(nodes) + [grad]
    for i in range(len(nodes) - 1, max(0, last) - 1, -1):
        node, (done, keeps, _), coming = nodes[i], saved[i], into.pop()
        assert coming is not None  # every value is read
        read = [i + 1 + back for back in node.reads]
        wants, (gradients, norms) = [at > last for at in read], learned[i]
        given = node.backward(
            how, done, coming, gradients, first=span.first, carry=carries[i], wants=wants, norms=norms
        )
        if all(one is None or one.held is not coming.held for one in given):
            lease.give(coming.held)
        for at, one, wanted in zip(read, given, wants, strict=True):
            if one is not None and wanted:
                into[at] = _added(into[at], one, lease)
            elif one is not None:
                lease.give(one.held)
        for at, kept in zip(read, keeps, strict=True):
            values[at].keepers -= kept
            values[at].release(lease)
    forget(rest, lease)
    return into[0]


def _added(one: SpikeGrad | None, other: SpikeGrad, lease: Lease) -> SpikeGrad:
    """Add two gradients towards one value, in the buffer of either."""
    if one is None:
        return other
    a, b = sorted((one, other), key=lambda grad: (grad.held is None, grad.values.dtype != torch.float32))
    if a.held is None or len(a.values) < len(b.values):
        steps = max(len(a.values), len(b.values))
        total = lease.take(steps, *a.values.shape[1:], dtype=a.values.dtype, device=a.values.device)
        total.copy_(a.values)
        lease.give(a.held)
        a = SpikeGrad(total, a.scale, total)
    a.values.add_(b.values, alpha=b.scale / a.scale)
    lease.give(b.held)
    return a


def span_of(nodes: Sequence[Node], x: Spikes, compute: Compute) -> int:
    """Return the number of steps in a span: T if nothing is recomputed; "auto" is √T where memory would not suffice."""
    steps, choice = x.values.shape[0], compute.recompute
    if any(node.looks_ahead for node in nodes):
        return steps
    if choice == "auto":
        choice = math.isqrt(steps - 1) + 1 if saves_memory(nodes, x, compute) else "never"
    return steps if choice == "never" else min(steps, choice)


def saves_memory(nodes: Sequence[Node], x: Spikes, compute: Compute) -> bool:
    """Return True if currents are to be recomputed: "auto" does so if keeping all takes over half of what is free.

    With a ``reduce`` it never does: processes with different free memory would wait for sums of different steps.
    """
    if compute.recompute != "auto":
        return compute.recompute != "never"
    if compute.reduce is not None:
        return False
    each, first = sizes(nodes, x), 0 if x.values.requires_grad else _first_that_learns(nodes)
    needed = sum(4 * one.floats + one.bytes for one in each[first:]) + sum(one.bytes for one in each[:first][-1:])
    return len(x.values) * needed > available_memory(x.values.device) / 2


def _first_that_learns(nodes: Sequence[Node]) -> int:
    """Return the node where the backward pass ends: nodes before it keep nothing but the counts that it reads."""
    learn = (any(one is not None and one.requires_grad for one in node.learned) for node in nodes)
    return next((i for i, learns in enumerate(learn) if learns), 0)


def sizes(nodes: Sequence[Node], x: Spikes) -> list[Size]:
    """Return what every node keeps of one step, and its output without values."""
    values = [Spikes(torch.empty(1, *x.values.shape[1:], dtype=x.values.dtype, device="meta"))]
    found = []
    for i, node in enumerate(nodes):
        found.append(node.size([values[i + 1 + back] for back in node.reads]))
        values.append(found[-1].out)
    return found


def largest_step(each: Sequence[Size]) -> int:
    """Return the number of values in the largest current or output of a step."""
    return max(max(one.floats, one.out.values.numel()) for one in each)


def steps_at_once(values: int) -> int:
    """Return the number of steps of this many values that go through all nodes at once."""
    return max(1, layer.CHUNK_BYTES // (4 * max(1, values)))


def available_memory(device: torch.device) -> float:
    """Return the bytes that a pass could take now, including those kept from the last one; infinite if unknown."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    kernel, group = _numbers(_read("/proc/meminfo")).get("MemAvailable:", math.inf) * 1024, math.inf
    most, now, files = (_read(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current", "stat"))
    if most.strip().isdigit() and now.strip().isdigit():  # else "max", or no control group of version 2
        group = float(most) - float(now) + _numbers(files).get("inactive_file", 0.0)  # which can be reclaimed
    return min(kernel, group) + WORKSPACE.free_bytes()


def _numbers(text: str) -> dict[str, float]:
    """Read lines of a name and a number."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: float(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""


@dataclass(frozen=True)
class StackOutput:
    """The result of a run; tuples have an entry for every node, in order."""

    out: Tensor
    """Output of the last node, ``[T, B, H, W, C]``, or its mean over time, ``[B, H, W, C]``."""
    ends: tuple[Start, ...]
    """State after the last step, where wanted; else ()."""
    moments: tuple[Moments | None, ...]
    """Batch moments, if a layer takes its own."""
    seen: tuple[LayerMeasures | None, ...]
    """Measurements, always with the spikes by step and channel."""


def run_stack(
    nodes: Sequence[Node], x: Spikes, how: PassContext, starts: Sequence[Start] = (), *, mean_over_time: bool
) -> StackOutput:
    """Drive the nodes by x, from their states before it, which are not modified; () is rest."""
    starts = list(starts) or [Start()] * len(nodes)
    learned = [tensor for node in nodes for tensor in node.learned]
    carried = [tensor for start in starts for tensor in _tensors(start)]
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x.values, *learned, *carried)):
        out, *ends, counts, moments, seen = _RunStack.apply(  # type: ignore[no-untyped-call]
            (nodes, x, how, starts), mean_over_time, x.values, *learned, *carried
        )
        return StackOutput(out, tuple(map(_start, zip(*[iter(ends)] * 3, strict=True), counts)), moments, seen)
    steps = size = len(x.values)
    if not any(node.waits(how.compute) for node in nodes):  # a chunk at a time, so that memory does not grow with T
        size = steps_at_once(max(x.values[0].numel(), largest_step(sizes(nodes, x))))
    whole, found, measured = Output(steps, mean_over_time), [], []
    with WORKSPACE.lease() as lease:
        how = replace(how, lease=lease, in_place=True)
        for first in range(0, steps, size):
            span, spikes, seen = forward(nodes, how, x.steps(first, first + size), first, starts, keep=None)
            starts = span.ends
            found.append(span.found)
            measured.append(seen)
            whole.add(spikes)
            lease.give(spikes.values)
        last = tuple(_changed(end, lease.keep, Tensor.detach) for end in starts) if how.goes_on else ()
        return StackOutput(whole.whole(), last, *_joined(found, measured))


def _tensors(start: Start) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the tensors of a start that autograd sees: the membrane, and mean and variance of the pooled steps."""
    return (start.membrane, None, None) if start.past is None else (start.membrane, start.past.mean, start.past.var)


def _start(tensors: Sequence[Tensor | None], counts: tuple[int, ...]) -> Start:
    """Invert :func:`_tensors`."""
    membrane, mean, var = tensors
    return Start(membrane, None if mean is None or var is None else Moments(mean, var, counts))


def _changed(start: Start, membrane: Callable[[Tensor], Tensor], past: Callable[[Tensor], Tensor]) -> Start:
    held, own = start
    own = own and Moments(past(own.mean), past(own.var), own.count)
    return Start(None if held is None else membrane(held), own)


def _joined(
    found: Sequence[Sequence[Any]], seen: Sequence[Sequence[LayerMeasures | None]]
) -> tuple[tuple[Moments | None, ...], tuple[LayerMeasures | None, ...]]:
    """Join moments, where a node took the batch's, and measures of consecutive steps, of every node."""
    taken = ([None if one is None else one.moments for one in steps] for steps in zip(*found, strict=True))
    return tuple(map(join_steps, taken)), tuple(map(join_steps, zip(*seen, strict=True)))


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
        ctx: Any,
        run: tuple[Sequence[Node], Spikes, PassContext, Sequence[Start]],
        mean_over_time: bool,
        values: Tensor,
        *others: Tensor | None,
    ) -> tuple[Any, ...]:
        """Run the nodes on an input from their starts; ``others`` are what they learn and start from."""
        nodes, x, how, starts = run
        steps, size = len(x.values), span_of(nodes, x, how.compute)
        out, spans, measured = Output(steps, mean_over_time), list[Span](), []
        with WORKSPACE.lease() as lease:
            drops = any(node.looks_ahead for node in nodes) and saves_memory(nodes, x, how.compute)
            now = replace(how, lease=lease, drops=drops, prepared=None, in_place=False)
            *_, keep = _wants(nodes, how.measure, ctx.needs_input_grad)
            ends = [_changed(start, Tensor.detach, Tensor.detach) for start in starts]
            for first in range(0, steps, size):
                if spans:
                    forget(spans[-1], lease)
                span, spikes, seen = forward(nodes, now, x.steps(first, first + size), first, ends, keep=keep)
                ends = span.ends
                spans.append(span)
                measured.append(seen)
                out.add(spikes)
                lease.give(spikes.values)
            whole, (moments, joined) = out.whole(), _joined([span.found for span in spans], measured)
            ctx.ends = [None if end.membrane is None else end.membrane.shape for end in ends]
            if how.goes_on:  # in tensors other than the graph's own: those and the graph would keep each other alive
                ends = [_changed(end, lambda membrane: lease.keep(membrane).detach(), Tensor.clone) for end in ends]
            else:
                lease.give(*(end.membrane for end in ends))
                ends = []
            ctx.lease = lease.pop_all()
        ctx.run, ctx.spans, ctx.size = (nodes, x, replace(how, drops=drops)), spans, size
        ctx.norms = [None if one is None else one.gradient for one in joined]
        ctx.shape, ctx.mean_over_time = whole.shape, mean_over_time
        ctx.save_for_backward(values, *(tensor for tensor in others if tensor is not None))
        ctx.set_materialize_grads(False)
        counts = [() if end.past is None else end.past.count for end in ends]
        return whole, *(part for end in ends for part in _tensors(end)), counts, moments, joined

    @staticmethod
    @differentiable_once  # unpacking raises if the graph was freed, or input or weights have changed since
    def backward(ctx: Any, saved: Any, grad: Tensor | None, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        values = saved[0]
        (nodes, x, how), spans = ctx.run, ctx.spans
        keep, (wanted, wants_starts, last) = private.keeps_graph(), _wants(nodes, how.measure, ctx.needs_input_grad)
        grad = values.new_zeros(ctx.shape, dtype=torch.float32) if grad is None else grad.contiguous()
        input_grad = torch.empty_like(values, memory_format=torch.contiguous_format) if last < 0 else None
        carries = _carries(ctx.ends, grads[:-3], grad, every=len(spans) > 1 or any(map(any, wants_starts)))
        if not keep:
            ctx.spans = ctx.run = None
        with nullcontext(ctx.lease) if keep else ctx.lease as lease:  # another pass starts from what is still out
            how = PassContext(how.compute, lease=lease, drops=how.drops)
            zeros = [node.zeros(of) for node, of in zip(nodes, wanted, strict=True)]
            learned = list(zip(zeros, ctx.norms, strict=True))
            for span in reversed(spans):
                steps = slice(span.first, span.first + ctx.size)
                if not span.saved:
                    some = x.steps(steps.start, steps.stop)
                    span, spikes, _ = forward(nodes, how, some, span.first, span.starts, keep=last, found=span.found)
                    lease.give(spikes.values, *(end.membrane for end in span.ends))
                towards = SpikeGrad(grad[steps])
                if ctx.mean_over_time:
                    towards = SpikeGrad(grad.unsqueeze(0), 1 / len(x.values))
                following = backward(nodes, how, span, towards, learned, carries, last=last)
                if following is None:
                    continue
                if input_grad is not None:
                    torch.mul(following.values, following.scale, out=input_grad[steps])
                lease.give(following.held)
        starts = [
            part if want else None
            for carry, wanted in zip(carries, wants_starts, strict=True)
            for part, want in zip((carry.membrane, *(carry.past or (None, None))), wanted, strict=True)
        ]
        return None, None, input_grad, *(one for node in zeros for one in node), *starts


def _wants(
    nodes: Sequence[Node], measure: Measure, needed: Sequence[bool]
) -> tuple[list[list[bool]], list[list[bool]], int]:
    """Return which gradients are wanted of what every node learns and starts from; and where they end, see flow."""
    rest = iter(needed[3:])
    learned = [[next(rest) for _ in node.learned] for node in nodes]
    starts = [[next(rest) for _ in range(3)] for _ in nodes]
    first = next((i for i, wants in enumerate(zip(learned, starts, strict=True)) if any(map(any, wants))), 0)
    return learned, starts, -1 if needed[2] else 0 if measure.gradient else first


def _carries(
    shapes: Sequence[torch.Size | None], grads: Sequence[Tensor | None], like: Tensor, *, every: bool
) -> list[GradState]:
    """Return the gradients of what is carried beyond the last step; they may be overwritten."""
    carries: list[GradState] = []
    for i, shape in enumerate(shapes):
        membrane, mean, var = grads[3 * i : 3 * i + 3] if grads else (None, None, None)
        if membrane is not None:
            membrane = membrane.contiguous().clone()
        elif every and shape is not None:
            membrane = torch.zeros(shape, dtype=torch.float32, device=like.device)
        carries.append(GradState(membrane, _of_moments(mean, var)))
    return carries


def _of_moments(mean: Tensor | None, var: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Return gradients of pooled moments in float64, like a pooling's tables; a missing one is 0; None if both are."""
    if mean is None:
        return None if var is None else (torch.zeros_like(var).double(), var.double())
    return mean.double(), torch.zeros_like(mean).double() if var is None else var.double()

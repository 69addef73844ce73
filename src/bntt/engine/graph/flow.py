"""Some time steps on their way through the nodes of a run, and their gradient on its way back.

A value lives until the last node has read it or, if the backward pass reads it again, until the first node has done so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from bntt.engine.graph.node import BackwardCall, Carry, Learned, Node, NodePass, Start, Towards
from bntt.engine.graph.recording import Seen
from bntt.engine.layer_spec import SpikeGrad
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Lease


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
class Went:
    """The result of a forward pass, and what is kept of it for the backward pass."""

    out: Spikes
    """Output of the last node; the caller must give its buffer back."""
    ends: list[Start] = field(default_factory=list)
    """End state of every node."""
    seen: list[Seen | None] = field(default_factory=list)
    found: list[Any] = field(default_factory=list)
    saved: list[Any] = field(default_factory=list)
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
    passes: Sequence[NodePass],
    x: Spikes,
    first: int,
    starts: Sequence[Start],
    *,
    found: Sequence[Any] = (),
    keep: int | None,
) -> Went:
    """Drive the nodes by some steps."""
    went, readers, lease = Went(x), readers_of([one.node for one in passes]), passes[0].how.lease
    went.values.append(Value(x, None, readers[0]))
    for i, one in enumerate(passes):
        read = [went.values[i + 1 + back] for back in one.node.reads]
        inputs = [value.spikes for value in read if value.spikes is not None]
        passed = one.forward(inputs, first, starts[i], found[i] if found else None)
        kept = keep is not None and i >= keep
        for value, keeps in zip(read, passed.keeps, strict=True):
            value.readers -= 1
            value.keepers += kept and keeps
            value.release(lease)
        went.out = passed.out
        went.values.append(Value(passed.out, passed.out.values, readers[i + 1]))
        went.ends.append(passed.end)
        went.seen.append(passed.seen)
        went.found.append(passed.found)
        went.saved.append((passed.saved, passed.keeps, passed.buffers) if kept else None)
        if not kept:
            lease.give(*passed.buffers)
    return went


def forget(went: Went, lease: Lease) -> None:
    """Release what was kept: no backward pass will follow."""
    for kept in went.saved:
        if kept is not None:
            lease.give(*kept[2])
    for value in went.values:
        if value.keepers:
            value.readers = value.keepers = 0
            value.release(lease)
    went.saved, went.values = [], []


def backward(
    passes: Sequence[NodePass],
    went: Went,
    towards: Towards,
    learned: Sequence[tuple[Learned, Tensor | None]],
    first: int,
    carries: Sequence[Carry],
    *,
    keep: bool,
    last: int,
) -> Towards | None:
    """Propagate the gradient of the last node's output back, and return that of the run's input, if it is wanted.

    Args:
        learned: the gradients of what every node learns, to which these steps' part is added, and buffers for the norms
            of each step's gradient towards its current.
        keep: True to leave what was kept unmodified, for another backward pass.
        last: the node to end at, since no gradient is wanted before it; -1: the input's is wanted too.
    """
    saved, values, lease = went.saved, went.values, passes[0].how.lease
    if not keep:  # what they hold is overwritten from here on, even if an error ends this early
        went.saved, went.values = [], []
    into: list[Towards | None] = [None] * len(passes) + [towards]
    for i in range(len(passes) - 1, max(0, last) - 1, -1):
        one, (done, keeps, _), coming = passes[i], saved[i], into.pop()
        assert coming is not None  # every value is read
        read = [i + 1 + back for back in one.node.reads]
        wants = [at > last for at in read]
        gradients, norms = learned[i]
        given = one.backward(done, coming, gradients, BackwardCall(first, carries[i], keep, wants, norms))
        if all(grad is None or grad.held is not coming.held for grad in given):
            lease.give(coming.held)
        for at, grad, wanted in zip(read, given, wants, strict=True):
            if grad is not None and wanted:
                into[at] = _added(into[at], grad, lease)
            elif grad is not None:
                lease.give(grad.held)
        for at, kept in zip(read, keeps, strict=True):
            values[at].keepers -= kept and not keep
            if not keep:
                values[at].release(lease)
    if last > 0 and not keep:
        forget(replace(went, saved=saved[:last], values=values), lease)
    return into[0]


def _added(one: Towards | None, other: Towards, lease: Lease) -> Towards:
    """Add two gradients towards one value, in the buffer of either."""
    if one is None:
        return other
    (a, held), (b, held_b) = sorted((one, other), key=lambda t: (t.held is None, t.grad.values.dtype != torch.float32))
    if held is None or len(a.values) < len(b.values):
        steps = max(len(a.values), len(b.values))
        total = lease.take(steps, *a.values.shape[1:], dtype=a.values.dtype, device=a.values.device)
        total.copy_(a.values)
        lease.give(held)
        a, held = SpikeGrad(total, a.scale), total
    a.values.add_(b.values, alpha=b.scale / a.scale)
    lease.give(held_b)
    return Towards(a, held)

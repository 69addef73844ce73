"""Checkpoints in time: membranes are kept every few steps, and the steps between are recomputed in the backward pass.

A backward pass needs every layer's synaptic current and spikes. Kept for all T steps (``"never"``), they make up the
memory of an update. With spans of K steps, the membranes of all layers are kept before every span, and currents and
spikes of one span at a time: T / K membranes and K steps, least at K = √T. The price is one more forward pass, without
statistics. The result is identical up to floating-point summation order: the second pass reuses the first one's
normalisations, and sees the same spikes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph import flow, layer
from bntt.engine.graph.flow import Went
from bntt.engine.graph.node import Carry, Learned, Node, NodePass, Size, Start, Towards
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import WORKSPACE, Lease


@dataclass
class Span:
    """A number of steps of a run whose currents and spikes are kept together."""

    first: int
    last: int
    starts: list[Start]
    """State of every node before them."""
    keep: int = 0
    """The first node that a backward pass reaches, see :func:`flow.backward`."""
    found: list[Any] = field(default_factory=list)
    """Findings of the forward pass, of every node."""
    went: Went | None = None
    """Values kept of it; None if they must be recomputed."""

    def forward(self, passes: Sequence[NodePass], x: Spikes) -> Went:
        """Run the steps through all nodes; a run that is interrupted leaves a span without values."""
        steps, self.went = x.steps(self.first, self.last), None
        self.went = flow.forward(passes, steps, self.first, self.starts, found=self.found, keep=self.keep)
        self.found = self.went.found
        return self.went

    def forget(self, lease: Lease) -> None:
        """Release what lies between the nodes, and their currents."""
        if self.went is not None:
            flow.forget(self.went, lease)
        self.went = None

    def backward(
        self,
        passes: Sequence[NodePass],
        towards: Towards,
        learned: Sequence[tuple[Learned, Tensor | None]],
        carries: Sequence[Carry],
        *,
        keep: bool,
        last: int,
    ) -> Towards | None:
        """Propagate the gradient of these steps' output to their input; see :func:`flow.backward`."""
        went = self.went
        assert went is not None
        if not keep:
            self.went = None
        return flow.backward(passes, went, towards, learned, self.first, carries, keep=keep, last=last)


def span_of(nodes: Sequence[Node], x: Spikes, compute: Compute) -> int:
    """Return the number of steps in a span: T if nothing is recomputed.

    Args:
        compute: its ``recompute``: ``"never"``; a number of steps; or ``"auto"``: √T if keeping all would take more
            than half of the memory that is available now, else T. With a ``reduce``, "auto" is always T: processes with
            different free memory would wait for sums of different steps.
    """
    steps, choice = x.values.shape[0], compute.recompute
    if any(node.looks_ahead for node in nodes):
        return steps
    if choice == "auto":
        choice = math.isqrt(steps - 1) + 1 if saves_memory(nodes, x, compute) else "never"
    return steps if choice == "never" else min(steps, choice)


def saves_memory(nodes: Sequence[Node], x: Spikes, compute: Compute) -> bool:
    """Return True if currents are to be recomputed in the backward pass, so that memory suffices."""
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
    kernel = _numbers("/proc/meminfo").get("MemAvailable:", math.inf) * 1024
    return min(kernel, *(_left(*names) for names in _GROUPS)) + WORKSPACE.free_bytes()


_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Files of limit, use and statistics, and the name in the last of what can be reclaimed: unused cached file pages."""


def _left(limit: str, used: str, statistics: str, reclaimable: str) -> float:
    most, now = _read(limit).strip(), _read(used).strip()
    if not (most.isdigit() and now.isdigit()):  # "max", or no such file
        return math.inf
    return float(most) - float(now) + _numbers(statistics).get(reclaimable, 0.0)


def _numbers(path: str) -> dict[str, float]:
    """Read lines of a name and a number."""
    rows = (line.split() for line in _read(path).splitlines())
    return {row[0]: float(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""

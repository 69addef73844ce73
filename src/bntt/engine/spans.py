"""Checkpoints in time: every few steps only the membranes are kept, and the steps between are computed again backward.

A backward pass needs every layer's synaptic current and spikes. Kept for all T steps (``"never"``), they are what a
training step's memory consists of. With a span of K steps, the membranes of all layers are kept before every span, and
currents and spikes of one span at a time: memory T / K membranes and K steps, least at K = √T, for one more forward
pass without statistics. The result is the same, but for the order of sums: the second pass takes the first one's
normalisations, and sees the same spikes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.layer import Carry, Gradients, Layer, Resolved, Saved, Start
from bntt.engine.layer_pass import LayerPass
from bntt.engine.measure import Seen
from bntt.engine.neuron import SpikeGrad
from bntt.engine.scan import pooled_shape
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import WORKSPACE, Lease


@dataclass
class Span:
    """Steps of a run whose currents and spikes are kept together."""

    first: int
    last: int
    starts: list[Start]
    """What every layer carries into them."""
    found: list[Resolved] = field(default_factory=list)
    """By the forward pass."""
    saved: list[Saved] = field(default_factory=list)
    """Of the layers; empty where they must be made again."""

    def forward(self, passes: Sequence[LayerPass], x: Spikes) -> tuple[Spikes, list[Start], list[Seen]]:
        """Spikes of the last layer; of every layer what it carries on, and what was measured of it."""
        spikes, ends, seen = x.steps(self.first, self.last), [], []
        saved: list[Saved] = []  # whoever stops this half-way leaves a span without
        for i, one in enumerate(passes):
            known = self.found[i] if i < len(self.found) else None
            spikes, done, end, looked = one.forward(spikes, self.first, self.starts[i], known)
            saved.append(done)
            ends.append(end)
            seen.append(looked)
        self.saved, self.found = saved, [done.found for done in saved]
        return spikes, ends, seen

    def forget(self, lease: Lease) -> None:
        """What lies between the layers and their currents are done with."""
        for done in self.saved:
            lease.give(done.current, done.held)
        self.saved = []

    def backward(
        self,
        passes: Sequence[LayerPass],
        grad: SpikeGrad,
        learned: list[Gradients],
        carries: list[Carry],
        *,
        keep: bool,
        wants_input: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        """From the gradient of these steps' spikes to that of their input, and the buffer that it lies in."""
        held: Tensor | None = None
        following: Tensor | None = None
        saved = self.saved
        if not keep:  # what they hold is written over from here on, whether this comes to its end or not
            self.saved = []
        for i in range(len(saved) - 1, -1, -1):
            one, done, before, inner = passes[i], saved[i], held, i > 0 or wants_input
            following, held = one.backward(
                done, grad, learned[i], self.first, carry=carries[i], keep=keep, wants_input=inner
            )
            one.lease.give(before)
            if not keep:
                one.lease.give(done.held)
            if following is not None:
                grad = SpikeGrad(following)
        return following, held


def span_of(layers: Sequence[Layer], x: Spikes, compute: Compute) -> int:
    """How many steps make a span: T where nothing is computed again.

    Args:
        compute: its ``recompute``: ``"never"``; a number of steps; or ``"auto"``: √T where keeping all would take more
            than half of the memory that is available now, else T. With a ``reduce`` T too: other processes may find
            other memory, and would wait for sums of other steps.

    >>> span_of([], Spikes(torch.zeros(25, 1, 1, 1, 1)), Compute(recompute=4))
    4
    """
    steps, choice = x.values.shape[0], compute.recompute
    if any(layer.looks_ahead for layer in layers):
        return steps
    if choice == "auto":
        choice = math.isqrt(steps - 1) + 1 if saves_memory(layers, x, compute) else "never"
    return steps if choice == "never" else min(steps, choice)


def saves_memory(layers: Sequence[Layer], x: Spikes, compute: Compute) -> bool:
    """Whether currents are to be made again in the backward pass, so that memory suffices."""
    if compute.recompute != "auto":
        return compute.recompute != "never"
    if compute.reduce is not None:
        return False
    needed = len(x.values) * sum(4 * current + counts for current, counts in sizes(layers, x))
    return needed > available_memory(x.values.device) / 2


def sizes(layers: Sequence[Layer], x: Spikes) -> list[tuple[int, int]]:
    """For every layer, the elements of its current and of its counts in one step."""
    found = []
    source = Spikes(torch.empty(1, *x.values.shape[1:], device="meta"))
    for layer in layers:
        current = torch.empty(layer.current_shape(layer.enter(source)), device="meta")
        source = Spikes(torch.empty(pooled_shape(current, layer.window), device="meta"))
        found.append((current.numel(), source.values.numel()))
    return found


def available_memory(device: torch.device) -> float:
    """Bytes that a step could take now, what it keeps from the last one included; infinite where nothing says.

    Of a GPU, or the smaller of what the kernel and the control group (version 2 or 1) leave.
    """
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
"""Limit, use, statistics, and there the name of what would be given back: read files that nobody looks at."""


def _left(limit: str, used: str, statistics: str, reclaimable: str) -> float:
    most, now = _read(limit).strip(), _read(used).strip()
    if not (most.isdigit() and now.isdigit()):  # "max", or no such file
        return math.inf
    return float(most) - float(now) + _numbers(statistics).get(reclaimable, 0.0)


def _numbers(path: str) -> dict[str, float]:
    """Lines of a name and a number."""
    rows = (line.split() for line in _read(path).splitlines())
    return {row[0]: float(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""

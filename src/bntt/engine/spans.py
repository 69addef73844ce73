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
from pathlib import Path

import torch

from bntt.engine.compute import Recompute
from bntt.engine.layer import Layer
from bntt.engine.scan import pooled_shape
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import WORKSPACE


def span_of(layers: Sequence[Layer], x: Spikes, choice: Recompute) -> int:
    """How many steps make a span: T where nothing is computed again.

    Args:
        choice: ``"never"``; a number of steps; or ``"auto"``: √T where keeping all would take more than half of the
            memory that is available now, else T.

    >>> span_of([], Spikes(torch.zeros(25, 1, 1, 1, 1)), 4)
    4
    """
    steps = x.values.shape[0]
    if choice == "auto":
        needed = steps * sum(4 * current + counts for current, counts in sizes(layers, x))
        choice = "never" if needed <= available_memory(x.values.device) / 2 else math.isqrt(steps - 1) + 1
    return steps if choice == "never" else min(steps, choice)


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

"""How many steps a span has, and what that is decided on."""

from __future__ import annotations

import math

import torch

from bntt.engine.compute import Compute
from bntt.engine.graph import stack as recompute
from bntt.engine.graph.layer import Layer
from bntt.engine.synapse import Geometry, Spikes
from bntt.ops.lif import Neuron
from tests.rows import each_row


def layers(steps: int) -> list[Layer]:
    def one(weight: torch.Tensor, flatten: bool, window: tuple[int, int]) -> Layer:
        gamma, geometry = torch.ones(steps, len(weight)), Geometry() if flatten else Geometry(padding=(1, 1))
        return Layer(geometry, flatten, window, Neuron(), weight, None, gamma, None, None, None, 1e-4)

    return [one(torch.zeros(10, 3, 3, 3), False, (2, 2)), one(torch.zeros(7, 10 * 4 * 4), True, (1, 1))]


X = Spikes(torch.zeros(50, 2, 8, 8, 3, dtype=torch.int8))


def test_sizes_are_those_of_one_step():
    found = [(size.floats, size.bytes) for size in recompute.sizes(layers(50), X)]
    assert found == [(2 * 8 * 8 * 10, 2 * 4 * 4 * 10), (2 * 7, 2 * 7)]


ALL, LAST = 50 * (4 * 1280 + 320 + 4 * 14 + 14), 50 * (320 + 4 * 14 + 14)
"""Bytes kept of all layers; of the last one, and the counts that it reads."""


@each_row(
    "compute, learns, available, span",
    [
        (Compute(recompute="never"), 0, 0.0, 50),
        (Compute(recompute=7), 0, math.inf, 7),
        (Compute(recompute=80), 0, 0.0, 50),
        (Compute(), 0, 2 * ALL, 50),
        (Compute(), 0, 2 * ALL - 1, 8),
        (Compute(), 1, 2 * LAST, 50),
        (Compute(), 1, 2 * LAST - 1, 8),
        (Compute(reduce=torch.clone), 0, 0.0, 50),
        (Compute(recompute=7, reduce=torch.clone), 0, 0.0, 7),
    ],
)
def test_auto_keeps_everything_until_half_of_the_memory_is_needed(compute, learns, available, span, monkeypatch):
    """Of layers from the first that learns on; processes that add up sums do not look at their memory."""
    monkeypatch.setattr(recompute, "available_memory", lambda device: available)
    made = layers(50)
    made[learns].gamma.requires_grad_()
    assert recompute.span_of(made, X, compute) == span


def test_available_memory_is_the_smaller_of_kernel_and_control_group(monkeypatch):
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    2000 kB\n"}
    monkeypatch.setattr(recompute, "_read", lambda path: files.get(path, ""))
    monkeypatch.setattr(recompute.WORKSPACE, "free_bytes", lambda: 7)  # ours to take again
    cpu = torch.device("cpu")
    assert recompute.available_memory(cpu) == 2000 * 1024 + 7
    files |= {"/sys/fs/cgroup/memory.max": "1000000\n", "/sys/fs/cgroup/memory.current": "400000\n"}
    assert recompute.available_memory(cpu) == 600_007
    files["/sys/fs/cgroup/memory.stat"] = "anon 5\ninactive_file 30000\n"
    assert recompute.available_memory(cpu) == 630_007
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert recompute.available_memory(cpu) == 2000 * 1024 + 7
    files.clear()
    assert recompute.available_memory(cpu) == math.inf

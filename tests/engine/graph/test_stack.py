"""The executor's own promises; parity with the modules is held by tests/nn/fusion/test_fused_parity.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from bntt.engine import workspace
from bntt.engine.compute import Compute
from bntt.engine.cpu import launch
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph import stack as flow
from bntt.engine.graph.layer import Layer, Sum
from bntt.engine.graph.node import GradState, Node, PassContext, Passed, Size, Start
from bntt.engine.graph.stack import run_stack
from bntt.engine.layer_spec import SpikeGrad
from bntt.engine.synapse import Geometry, Spikes
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron
from tests.kernels import needs_kernels
from tests.processes import Processes
from tests.rows import each_row


def layer(rng: torch.Generator, inputs: int, outputs: int, steps: int, flatten: bool = False) -> Layer:
    weight = torch.randn(outputs, inputs, *(() if flatten else (3, 3)), generator=rng) * 0.3
    gamma = torch.ones(steps, outputs, requires_grad=True)
    geometry = Geometry(padding=(1, 1))
    window = (1, 1) if flatten else (2, 2)
    return Layer(
        Geometry() if flatten else geometry, flatten, window, Neuron(0.9), weight, None, gamma, None, None, None, 1e-4
    )


def layers(rng: torch.Generator, steps: int = 6) -> list[Layer]:
    return [layer(rng, 3, 10, steps), layer(rng, 10, 9, steps), layer(rng, 36, 5, steps, flatten=True)]


@needs_kernels
@pytest.mark.parametrize("recompute", ["never", 2])
def test_a_backward_pass_ends_at_the_first_layer_that_learns(recompute, rng, monkeypatch):
    """What is frozen before it costs nothing there, and the gradients behind it are the same."""
    made, x, went = layers(rng), Spikes(torch.randn(6, 4, 8, 8, 3, generator=rng)), set()
    sweep = launch.scan_reverse

    def noted(reverse, *rest, **named):
        went.add(reverse.current.shape[-1])
        sweep(reverse, *rest, **named)

    monkeypatch.setattr(launch, "scan_reverse", noted)
    results = []
    for reached in ({10, 9, 5}, {9, 5}, {5}):
        ran = run_stack(made, x, PassContext(Compute(events="fixed", recompute=recompute)), mean_over_time=False)
        ran.out.square().sum().backward()
        assert went == reached
        results.append(made[2].gamma.grad)
        made[2].gamma.grad = None
        made[3 - len(reached)].gamma.requires_grad_(False)
        went.clear()
    assert all(torch.equal(results[0], other) for other in results[1:])
    assert results[0].abs().max() > 0


@pytest.fixture
def bytes_out(monkeypatch):
    """Bytes that are out of the workspace, after every change; small buffers count too."""
    seen, take, give = [0], Workspace.take, Workspace.give

    def taking(self, size):
        buffer = take(self, size)
        seen.append(seen[-1] + buffer.numel())
        return buffer

    def giving(self, buffer):
        seen.append(seen[-1] - buffer.numel())
        give(self, buffer)

    monkeypatch.setattr(workspace, "_SMALL", 1)
    monkeypatch.setattr(Workspace, "take", taking)
    monkeypatch.setattr(Workspace, "give", giving)
    workspace.WORKSPACE.clear()
    return seen


@needs_kernels
def test_a_span_needs_memory_for_itself_and_without_gradients_steps_need_none(bytes_out, rng, monkeypatch):
    """At √T steps a span, a third and less of all steps."""
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 200_000)

    def peak(steps: int, recompute: str | int, grad: bool) -> int:
        how = PassContext(Compute(events="fixed", recompute=recompute))
        x = torch.randn(steps, 4, 8, 8, 3, generator=rng)
        with torch.set_grad_enabled(grad):
            ran = run_stack(layers(rng, steps), Spikes(x), how, mean_over_time=True)
            if grad:
                ran.out.sum().backward()
                assert bytes_out[-1] == 0
        most, bytes_out[:] = max(bytes_out), [0]
        workspace.WORKSPACE.clear()
        return most

    assert peak(36, 6, True) < peak(36, "never", True) / 2.5
    assert peak(40, "never", False) == peak(200, "never", False)


BIG = (1, 1, 200, 200, 1)


@dataclass(frozen=True)
class Double(Node):
    """A node of y = 2 x, that keeps what it read."""

    reads: tuple[int, ...] = (-1,)

    def size(self, inputs):
        return Size(inputs[0], 1, 0)

    def forward(self, how, inputs, first, start, known=None):
        out = how.lease.take(*inputs[0].values.shape)
        return Passed(Spikes(out.copy_(inputs[0].values).mul_(2)), None, (True,))

    def backward(self, how, done, grad, learned, **_):
        held = how.lease.take(*grad.values.shape)
        return [SpikeGrad(held.copy_(grad.values).mul_(2), grad.scale, held)]


@dataclass(frozen=True)
class SumOf(Sum):
    def forward(self, how, inputs, first, start, known=None):
        out = how.lease.take(*inputs[0].values.shape)
        return Passed(Spikes(torch.add(inputs[0].values, inputs[1].values, out=out)), None, (False, False))

    def backward(self, how, done, grad, learned, **_):
        return [grad, SpikeGrad(grad.values.clone(), grad.scale)]


@needs_kernels
@pytest.mark.parametrize("keep", [0, 2, None])
def test_a_value_goes_back_when_nobody_needs_it(keep):
    """y = 2 (2 x) + 2 x: buffers out are those that a backward pass reads, and what the caller got."""
    lease = Workspace().lease()
    how = PassContext(lease=lease)
    nodes = [Double(), Double(), SumOf((-1, -2))]
    span, out, _ = flow.forward(nodes, how, Spikes(torch.ones(BIG)), 0, [Start()] * 3, keep=keep)
    assert out.values.unique().item() == 6
    assert len(lease._out) == 1 + (keep == 0)  # the first node's, which the second one's way back reads
    if keep is None:
        return
    lease.give(out.values)
    carries, last, grad = [GradState(None)] * 3, -1 if keep == 0 else keep, SpikeGrad(torch.ones(BIG), 0.5)
    found = flow.backward(nodes, how, span, grad, [([], None)] * 3, carries, last=last)
    assert (found is None) == (keep == 2)
    if found is not None:
        assert (found.values * found.scale).unique().item() == 3
        lease.give(found.held)
    assert not lease._out
    assert span.saved == span.values == []


@needs_kernels
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("steps", "held"), [((3, 3), (True, True)), ((1, 3), (False, True)), ((1, 1), (False, False))])
def test_gradients_of_several_readers_add_up(steps, held, order, rng):
    lease = Workspace().lease()
    values = [torch.randn(s, 2, 200, 100, 1, generator=rng) for s in steps]
    expected, sums = 0.5 * values[0] + 2 * values[1], []
    for one, scale, ours in zip(values, (0.5, 2.0), held, strict=True):
        buffer = lease.take(*one.shape).copy_(one) if ours else None
        sums.append(SpikeGrad(one.clone() if buffer is None else buffer, scale, buffer))
    given = [grad.values.clone() for grad in sums]
    total = flow._added(*sums[::order], lease)
    assert torch.allclose(total.values * total.scale, expected, atol=1e-6)
    assert len(lease._out) == 1
    for grad, before in zip(sums, given, strict=True):
        if grad.held is None:
            assert torch.equal(grad.values, before)  # somebody else's


def two_layers(steps: int) -> list[Layer]:
    def one(weight: torch.Tensor, flatten: bool, window: tuple[int, int]) -> Layer:
        gamma, geometry = torch.ones(steps, len(weight)), Geometry() if flatten else Geometry(padding=(1, 1))
        return Layer(geometry, flatten, window, Neuron(), weight, None, gamma, None, None, None, 1e-4)

    return [one(torch.zeros(10, 3, 3, 3), False, (2, 2)), one(torch.zeros(7, 10 * 4 * 4), True, (1, 1))]


X = Spikes(torch.zeros(50, 2, 8, 8, 3, dtype=torch.int8))


ALL, LAST = 50 * (4 * 1280 + 320 + 4 * 14 + 14), 50 * (320 + 4 * 14 + 14)
"""Bytes kept of all two_layers; of the last one, and the counts that it reads."""


@needs_kernels
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
    """Of two_layers from the first that learns on; processes that add up sums do not look at their memory."""
    monkeypatch.setattr(flow, "available_memory", lambda device: available)
    made = two_layers(50)
    made[learns].gamma.requires_grad_()
    assert flow.span_of(made, X, compute) == span


@needs_kernels
def test_available_memory_is_the_smaller_of_kernel_and_control_group(monkeypatch):
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    2000 kB\n"}
    monkeypatch.setattr(flow, "_read", lambda path: files.get(path, ""))
    monkeypatch.setattr(flow.WORKSPACE, "free_bytes", lambda: 7)  # ours to take again
    cpu = torch.device("cpu")
    assert flow.available_memory(cpu) == 2000 * 1024 + 7
    files |= {"/sys/fs/cgroup/memory.max": "1000000\n", "/sys/fs/cgroup/memory.current": "400000\n"}
    assert flow.available_memory(cpu) == 600_007
    files["/sys/fs/cgroup/memory.stat"] = "anon 5\ninactive_file 30000\n"
    assert flow.available_memory(cpu) == 630_007
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert flow.available_memory(cpu) == 2000 * 1024 + 7
    files.clear()
    assert flow.available_memory(cpu) == math.inf


SHARED_STEPS = 6


@needs_kernels
@pytest.mark.parametrize(("recompute", "of_spans"), [("never", [6]), (4, [4, 2]), ("auto", [6])])
def test_calls_depend_on_layers_steps_and_spans_alone(recompute, of_spans, rng, monkeypatch):
    """Not on a part's size or chunks, nor on the memory that is free; steps computed again need none."""
    monkeypatch.setattr(flow, "available_memory", lambda device: 0.0)
    made, processes = layers(rng), Processes(2)
    made[1] = replace(made[1], mean=torch.zeros(SHARED_STEPS, 9), var=torch.ones(SHARED_STEPS, 9))
    xs = [torch.randn(SHARED_STEPS, batch, 8, 8, 3, generator=rng) for batch in (2, 7)]
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 20_000)  # of both parts some chunks, but not as many

    def work(rank: int, reduce: Callable[[Tensor], Tensor]) -> None:
        how = PassContext(Compute(recompute=recompute, reduce=reduce))
        out = run_stack(made, Spikes(xs[rank]), how, mean_over_time=True).out
        out.sum().backward(retain_graph=True)
        out.sum().backward()
        with torch.no_grad():
            run_stack(made, Spikes(xs[rank]), how, mean_over_time=True)

    processes.run(work)
    forward = [(steps, 1 + 2 * channels) for steps in of_spans for channels in (10, 5)]
    backward = [(2, steps, channels) for steps in reversed(of_spans) for channels in (5, 10)]
    alone = [(SHARED_STEPS, 21), (SHARED_STEPS, 11)]
    assert processes.calls == [[*forward, *backward, *backward, *alone]] * 2

"""The executor's own promises; parity with the modules is held by tests/nn/fusion/test_fused_parity.py."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import pytest
import torch

from bntt.engine import workspace
from bntt.engine.compute import Compute
from bntt.engine.cpu import launch
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import PassContext, Start
from bntt.engine.graph.stack import run_stack
from bntt.engine.synapse import Geometry, Spikes
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron
from tests.kernels import needs_kernels

pytestmark = needs_kernels


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


def same(one, other) -> bool:
    """Whether two tensors, or the tensors of two records, are equal; NaN equals NaN."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, Start):
        return all(map(same, one, other))
    if not is_dataclass(one):
        return one == other
    return all(same(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))


@pytest.mark.parametrize(
    ("mean", "given"), [(False, False), (True, True)], ids=["batch statistics", "given statistics"]
)
def test_spans_that_are_computed_again_change_nothing(mean, given, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 30_000)
    made, results = layers(rng, 7), []
    if given:
        made = [
            replace(
                one,
                mean=torch.randn(one.gamma.shape, generator=rng) * 0.1,
                var=torch.rand(one.gamma.shape, generator=rng) + 0.5,
                bias=torch.randn(len(one.weight), generator=rng, requires_grad=True),
                beta=torch.randn(one.gamma.shape, generator=rng, requires_grad=True),
            )
            for one in made
        ]
    x = torch.randn(7, 4, 8, 8, 3, generator=rng, requires_grad=True)
    for recompute in ("never", 1, 3, 7, 100):
        how = PassContext(Compute(events="fixed", recompute=recompute))
        ran = run_stack(made, Spikes(x), how, mean_over_time=mean)
        out = ran.out
        wanted = [x, *(t for one in made for t in one.learned if t is not None and t.requires_grad)]
        ((out * torch.arange(5.0)).square().sum()).backward(retain_graph=True, inputs=wanted)
        first = [t.grad.clone() for t in wanted]
        ((out * torch.arange(5.0)).square().sum()).backward(inputs=wanted)  # again: gradients add up
        for t, once in zip(wanted, first, strict=True):
            assert torch.allclose(t.grad, 2 * once, rtol=1e-6, atol=1e-7)
            t.grad = None
        moments = [t for m in ran.moments if m is not None for t in (m.mean, m.var)]
        assert len(moments) == (0 if given else 6)
        results.append([out.detach(), *moments, *first])
    for other in results[1:]:
        assert torch.equal(results[0][0], other[0])
        for a, b in zip(results[0], other, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


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


def test_spans_need_memory_for_one_span_and_the_membranes(bytes_out, rng):
    """At √T steps a span, a third and less of all steps."""
    peaks = []
    for recompute in ("never", 6):
        how, x = PassContext(Compute(events="fixed", recompute=recompute)), torch.randn(36, 4, 8, 8, 3, generator=rng)
        run_stack(layers(rng, 36), Spikes(x), how, mean_over_time=True).out.sum().backward()
        assert bytes_out[-1] == 0
        peaks.append(max(bytes_out))
        bytes_out[:] = [0]
    assert peaks[1] < peaks[0] / 2.5


def test_without_gradients_memory_does_not_grow_with_the_steps(bytes_out, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 200_000)
    peaks = []
    for steps in (40, 200):
        with torch.no_grad():
            x = Spikes(torch.zeros(steps, 4, 8, 8, 3))
            run_stack(layers(rng, steps), x, PassContext(), mean_over_time=True)
        peaks.append(max(bytes_out))
        bytes_out[:] = [0]
        workspace.WORKSPACE.clear()
    assert peaks[0] == peaks[1]


def test_a_run_is_a_value(rng):
    """A second one changes nothing of the first."""
    made, how, x = layers(rng), PassContext(goes_on=True), torch.randn(6, 4, 8, 8, 3, generator=rng)
    first = run_stack(made, Spikes(x), how, mean_over_time=False)
    again = run_stack(made, Spikes(x), how, mean_over_time=False)
    run_stack(made, Spikes(x + 1), how, mean_over_time=False)
    assert all(end.membrane.requires_grad for end in first.ends)
    for one, other in zip(
        (*first.ends, *first.moments, *first.seen), (*again.ends, *again.moments, *again.seen), strict=True
    ):
        assert same(one, other)

"""The executor's own promises; parity with the modules is held by tests/nn/test_fused_parity.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bntt.engine import layer as engine_layer
from bntt.engine.compute import Compute
from bntt.engine.crossover import goes_by_events
from bntt.engine.layer import Layer
from bntt.engine.stack import Stack, run_chunks, run_stack
from bntt.engine.synapse import Geometry, Spikes, Synapse
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


def test_chunks_of_any_size_give_the_same_spikes_and_gradients(rng, monkeypatch):
    made, x = layers(rng), Spikes(torch.randn(6, 4, 8, 8, 3, generator=rng))
    results = []
    for size in (1, 30_000, 1 << 24):
        monkeypatch.setattr(engine_layer, "CHUNK_BYTES", size)
        stack = Stack(made, Compute(events="fixed"))
        out, _ = run_stack(stack, x, mean_over_time=False)
        grads = torch.autograd.grad(out.sum(), [one.gamma for one in made])
        with torch.no_grad():
            alone, _ = run_stack(Stack(made, Compute(events="fixed")), x, mean_over_time=False)
            mean, _ = run_stack(Stack(made, Compute(events="fixed")), x, mean_over_time=True)
        assert torch.equal(out, alone)
        assert torch.allclose(mean, out.mean(0))
        assert [len(found.count) for found in stack.moments] == [6, 6, 6]
        results.append((out, *grads))
    for other in results[1:]:
        assert torch.equal(results[0][0], other[0])
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("given", [False, True], ids=["batch statistics", "given statistics"])
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
        stack = Stack(made, Compute(events="fixed", recompute=recompute))
        out, _ = run_stack(stack, Spikes(x), mean_over_time=mean)
        wanted = [x, *(t for one in made for t in one.learned if t is not None and t.requires_grad)]
        ((out * torch.arange(5.0)).square().sum()).backward(retain_graph=True, inputs=wanted)
        first = [t.grad.clone() for t in wanted]
        ((out * torch.arange(5.0)).square().sum()).backward(inputs=wanted)  # again: gradients add up
        for t, once in zip(wanted, first, strict=True):
            assert torch.allclose(t.grad, 2 * once, rtol=1e-6, atol=1e-7)
            t.grad = None
        moments = [t for m in stack.moments if m is not None for t in (m.mean, m.var)]
        assert len(moments) == (0 if given else 6)
        results.append([out.detach(), *moments, *first])
    for other in results[1:]:
        assert torch.equal(results[0][0], other[0])
        for a, b in zip(results[0], other, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_spans_need_memory_for_one_span_and_the_membranes(rng, monkeypatch):
    """What is held at any time, from the workspace: at √T steps a span, a third and less of all steps."""
    peaks = []
    for recompute in ("never", 6):
        held, peak = [0], [0]
        take, give = engine_layer.WORKSPACE.take, engine_layer.WORKSPACE.give

        def taking(*shape, take=take, held=held, peak=peak, **kwargs):
            buffer = take(*shape, **kwargs)
            held[0] += buffer.numel() * buffer.element_size()
            peak[0] = max(peak[0], held[0])
            return buffer

        def giving(*buffers, give=give, held=held):
            held[0] -= sum(b.numel() * b.element_size() for b in buffers if b is not None)
            give(*buffers)

        with monkeypatch.context() as patch:
            patch.setattr(engine_layer.WORKSPACE, "take", taking)
            patch.setattr(engine_layer.WORKSPACE, "give", giving)
            out, _ = run_stack(
                Stack(layers(rng, 36), Compute(events="fixed", recompute=recompute)),
                Spikes(torch.randn(36, 4, 8, 8, 3, generator=rng)),
                mean_over_time=True,
            )
            out.sum().backward()
        peaks.append(peak[0])
    assert peaks[1] < peaks[0] / 2.5


def test_without_gradients_memory_does_not_grow_with_the_steps(rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 200_000)
    taken: list[int] = []
    real = engine_layer.WORKSPACE.take

    def counting(*shape, **kwargs):
        buffer = real(*shape, **kwargs)
        taken.append(buffer.numel() * buffer.element_size())
        return buffer

    monkeypatch.setattr(engine_layer.WORKSPACE, "take", counting)
    largest = []
    for steps in (40, 200):
        taken.clear()
        made, x = layers(rng, steps), Spikes(torch.zeros(steps, 4, 8, 8, 3))
        for _ in run_chunks(Stack(made), x):
            pass
        largest.append(max(taken))
    assert largest[0] == largest[1]


def test_fired_counts_every_neuron_also_those_that_the_pool_drops(rng):
    made, x = layers(rng)[:1], Spikes(torch.randn(6, 4, 7, 7, 3, generator=rng))
    ((chunk, fired),) = run_chunks(Stack(made), x)
    assert chunk.values.shape == (6, 4, 3, 3, 10)
    assert fired[0].shape == (6, 10)
    assert fired[0].sum() > chunk.values.sum()


def test_a_gpu_goes_dense_takes_all_steps_at_once_and_is_asked_for_no_number(monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 4 * 64 * 2)
    cpu, gpu = Compute(events="fixed"), Compute("triton", events="fixed")
    counts, fired = torch.zeros(6, 1, 1, 1, 64, dtype=torch.uint8), torch.full((6, 64), 2)
    synapse, x = Synapse(torch.zeros(64, 64), None, Geometry()), Spikes(counts, density=0.01)
    assert (goes_by_events(synapse, x, cpu)[0], goes_by_events(synapse, x, gpu)) == (True, (False, False))
    assert (engine_layer.chunk_steps(cpu, counts), engine_layer.chunk_steps(gpu, counts)) == (2, 6)
    assert (engine_layer.density(cpu, fired, counts), engine_layer.density(gpu, fired.to("meta"), counts)) == (2.0, 1.0)

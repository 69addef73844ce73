"""The executor's own promises; parity with the modules is held by tests/nn/test_fusion.py."""

from __future__ import annotations

import torch

from bntt.ops import fused
from bntt.ops.event_conv import Geometry, Spikes
from bntt.ops.fused import Run, run_chunks, run_layers
from bntt.ops.fused_layer import Layer
from bntt.ops.norm_lif import Neuron
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
        monkeypatch.setattr(fused, "CHUNK_BYTES", size)
        run = Run(made, "fixed")
        out = run_layers(run, x, mean_over_time=False)
        grads = torch.autograd.grad(out.sum(), [one.gamma for one in made])
        with torch.no_grad():
            alone = run_layers(Run(made, "fixed"), x, mean_over_time=False)
            mean = run_layers(Run(made, "fixed"), x, mean_over_time=True)
        assert torch.equal(out, alone)
        assert torch.allclose(mean, out.mean(0))
        assert [len(found.count) for found in run.found] == [6, 6, 6]
        results.append((out, *grads))
    for other in results[1:]:
        assert torch.equal(results[0][0], other[0])
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(results[0], other, strict=True))


def test_without_gradients_memory_does_not_grow_with_the_steps(rng, monkeypatch):
    monkeypatch.setattr(fused, "CHUNK_BYTES", 200_000)
    taken: list[int] = []
    real = fused.WORKSPACE.take

    def counting(*shape, **kwargs):
        buffer = real(*shape, **kwargs)
        taken.append(buffer.numel() * buffer.element_size())
        return buffer

    monkeypatch.setattr(fused.WORKSPACE, "take", counting)
    largest = []
    for steps in (40, 200):
        taken.clear()
        made, x = layers(rng, steps), Spikes(torch.zeros(steps, 4, 8, 8, 3))
        for _ in run_chunks(Run(made), x):
            pass
        largest.append(max(taken))
    assert largest[0] == largest[1]


def test_fired_counts_every_neuron_also_those_that_the_pool_drops(rng):
    made, x = layers(rng)[:1], Spikes(torch.randn(6, 4, 7, 7, 3, generator=rng))
    ((chunk, fired),) = run_chunks(Run(made), x)
    assert chunk.values.shape == (6, 4, 3, 3, 10)
    assert fired[0].shape == (6, 10)
    assert fired[0].sum() > chunk.values.sum()

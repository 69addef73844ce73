"""Processes that train on parts of a batch: their statistics are the whole batch's, by one call a pass and layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph import stack as spans
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import PassContext
from bntt.engine.graph.recording import Measure
from bntt.engine.graph.stack import StackOutput, run_stack
from bntt.engine.synapse import Spikes
from tests.engine.graph.test_stack import layer, layers
from tests.kernels import needs_kernels
from tests.processes import Processes

pytestmark = needs_kernels
STEPS = 6


def trained(
    made: list[Layer], x: Tensor, gradient: Tensor, compute: Compute
) -> tuple[StackOutput, Tensor, list[Tensor]]:
    """The run, its input's gradient, and those of weights, γ and β."""
    x = x.clone().requires_grad_()
    made = [
        replace(
            one, **{name: getattr(one, name).detach().clone().requires_grad_() for name in ("weight", "gamma", "beta")}
        )
        for one in made
    ]
    ran = run_stack(made, Spikes(x), PassContext(compute, Measure(moments=True)), mean_over_time=False)
    grad, *learned = torch.autograd.grad(
        (ran.out * gradient).sum(), [x, *(t for one in made for t in (one.weight, one.gamma, one.beta))]
    )
    return ran, grad, learned


def off(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize(
    ("sizes", "recompute", "chunk"), [((4, 4), "never", 1), ((1, 6), 2, 16 << 20), ((3, 2, 2), 2, 1)], ids=str
)
def test_parts_of_a_batch_are_the_batch(sizes, recompute, chunk, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    made = replace(layer(rng, 3, 10, STEPS), beta=torch.randn(STEPS, 10, generator=rng) * 0.1)
    x = torch.randn(STEPS, sum(sizes), 8, 8, 3, generator=rng) + 0.3
    gradient = torch.randn(STEPS, sum(sizes), 4, 4, 10, generator=rng)
    compute = Compute(events="fixed", recompute=recompute)
    ran, grad, learned = trained([made], x, gradient, compute)
    xs, gradients = x.split(sizes, 1), gradient.split(sizes, 1)
    parts = Processes(len(sizes)).run(
        lambda rank, reduce: trained([made], xs[rank], gradients[rank], replace(compute, reduce=reduce))
    )
    assert torch.equal(torch.cat([part[0].out for part in parts], 1), ran.out)
    assert off(torch.cat([part[1] for part in parts], 1), grad) <= 2e-6
    for theirs, *ours in zip(learned, *(part[2] for part in parts), strict=True):  # of β and γ too: those of the parts
        assert off(torch.stack(ours).sum(0), theirs) <= 2e-6
    for size, (part, *_) in zip(sizes, parts, strict=True):
        (ours,), (theirs,) = part.moments, ran.moments
        assert ours.count == theirs.count
        assert off(ours.mean, theirs.mean) <= 2e-6
        assert off(ours.var, theirs.var) <= 2e-6
        measured = part.seen[0].moments  # of the part alone
        assert [n * sum(sizes) for n in measured.count] == [n * size for n in theirs.count]


@pytest.mark.parametrize(("recompute", "of_spans"), [("never", [6]), (4, [4, 2]), ("auto", [6])])
def test_calls_depend_on_layers_steps_and_spans_alone(recompute, of_spans, rng, monkeypatch):
    """Not on a part's size or chunks, nor on the memory that is free; steps computed again need none."""
    monkeypatch.setattr(spans, "available_memory", lambda device: 0.0)
    made, processes = layers(rng), Processes(2)
    made[1] = replace(made[1], mean=torch.zeros(STEPS, 9), var=torch.ones(STEPS, 9))
    xs = [torch.randn(STEPS, batch, 8, 8, 3, generator=rng) for batch in (2, 7)]
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
    alone = [(STEPS, 21), (STEPS, 11)]
    assert processes.calls == [[*forward, *backward, *backward, *alone]] * 2

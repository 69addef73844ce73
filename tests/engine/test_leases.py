"""Passes under poison: a buffer that is used after it went back holds NaN, or another's values."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor

from bntt.engine import workspace
from bntt.engine.compute import Compute
from bntt.engine.cpu import launch
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import PassContext
from bntt.engine.graph.recording import Measure
from bntt.engine.graph.stack import run_stack
from bntt.engine.synapse import Spikes
from tests.engine.graph.test_stack import layers
from tests.grids import all_pairs
from tests.kernels import needs_kernels, poisoned

pytestmark = needs_kernels
MEASURES = (Measure(), Measure(True, True, True, (-1.0, 1.0), True, True))


def train_and_evaluate(made: list[Layer], x: Tensor, compute: Compute, measure: Measure) -> list[Tensor]:
    """Three steps in two parts each, the second from the first one's ends; with a kept graph, and evaluation between.

    What is found is held to the end, so that it is also read when everything else has come and gone.
    """
    held: list[Tensor] = []
    parameters = [one.gamma for one in made]
    for _ in range(3):
        given = x.clone().requires_grad_()
        first = run_stack(made, Spikes(given[:4]), PassContext(compute, measure, goes_on=True), mean_over_time=False)
        second = run_stack(
            made, Spikes(given[2:]), PassContext(compute, measure, goes_on=True), first.ends, mean_over_time=True
        )
        with torch.no_grad():
            alone = run_stack(
                made, Spikes(x), PassContext(compute, measure, goes_on=True), first.ends, mean_over_time=False
            )
        loss = (first.out * torch.arange(5)).sum() + second.out.square().sum()
        loss = loss + sum(end.membrane.square().sum() for end in second.ends)
        for keep in (True, True, False):
            held += torch.autograd.grad(loss, [given, *parameters], retain_graph=keep)
        for ran in (first, second, alone):
            held += [
                ran.out,
                *(end.membrane for end in ran.ends),
                *(t for m in ran.moments if m is not None for t in (m.mean, m.var)),
            ]
            held += [t for seen in ran.seen for t in vars(seen).values() if isinstance(t, Tensor)]
    return held


@pytest.mark.parametrize(
    ("recompute", "measure", "chunk"), all_pairs(["never", 1, 3], MEASURES, [1, 16 << 20]), ids=str
)
def test_poison_changes_nothing(recompute, measure, chunk, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    made, x, compute = (
        layers(rng),
        torch.randn(6, 4, 8, 8, 3, generator=rng),
        Compute(events="fixed", recompute=recompute),
    )
    expected = train_and_evaluate(made, x, compute, measure)
    with poisoned():
        found = train_and_evaluate(made, x, compute, measure)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.isnan(), other.isnan())
        assert torch.equal(one.nan_to_num(), other.nan_to_num())


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(("where", "name"), [(launch, "scan"), (launch, "scan_reverse")], ids=["scan", "reverse"])
def test_what_an_error_interrupts_gives_its_buffers_back(where, name, grad, rng, monkeypatch):
    """All of those that were taken: nothing is lost, so that the next pass takes no fresh memory."""
    made, x = layers(rng), Spikes(torch.randn(6, 4, 8, 8, 3, generator=rng))
    gc.collect()  # what tests before this one left, such as graphs that an error's traceback holds
    with poisoned(), torch.set_grad_enabled(grad):
        space, calls, real = workspace.WORKSPACE, [], getattr(where, name)

        def failing(*args, **kwargs):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        alive = space._alive
        monkeypatch.setattr(where, name, failing)
        try:
            out = run_stack(made, x, PassContext(Compute(events="fixed")), mean_over_time=True).out
            if grad:
                out.sum().backward()
        except KeyboardInterrupt:
            pass
        assert (len(calls) == 3) == (grad or name == "scan")
        assert space.free_bytes() == space._alive - alive > 0


def test_a_graph_without_a_backward_pass_goes_with_what_it_gave(rng):
    """A circle of tensor and graph would stay for ever: the collector of garbage does not see PyTorch's part of it."""
    made, x = layers(rng), Spikes(torch.randn(6, 4, 8, 8, 3, generator=rng))
    with poisoned():
        space, alive = workspace.WORKSPACE, workspace.WORKSPACE._alive
        ran = run_stack(made, x, PassContext(Compute(events="fixed"), goes_on=True), mean_over_time=True)
        assert ran.ends[0].membrane.requires_grad
        assert space._alive - alive > space.free_bytes()
        del ran
        assert space._alive - alive == space.free_bytes()

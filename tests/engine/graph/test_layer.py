"""One node alone: shapes, layouts and chunks that a network would hide, what it gives on and asks of the device."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bntt.engine.compute import Compute
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import Fire, Firing, Layer, Mask, MaxPool, Sum, chunks, density
from bntt.engine.graph.node import PassContext, Start
from bntt.engine.graph.recording import Measure
from bntt.engine.layer_spec import Affine
from bntt.engine.synapse import Geometry, Spikes, Synapse, goes_by_events
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron
from tests.kernels import needs_kernels


def flat_layer(weight: torch.Tensor, mean: torch.Tensor | None = None) -> Layer:
    gamma = torch.full((3, len(weight)), 2.0)
    return Layer(Geometry(), True, (1, 1), Neuron(), weight, None, gamma, None, mean, mean, 1e-4)


@pytest.fixture
def how() -> PassContext:
    return PassContext(lease=Workspace().lease())


def test_flattening_keeps_the_order_of_nn_flatten_and_leaves_the_way_it_came(rng):
    x = torch.randn(3, 2, 4, 5, 6, generator=rng)  # T, B, H, W, C in memory
    layer, lease = flat_layer(torch.zeros(7, 120)), Workspace().lease()
    for entered in (layer.enter(Spikes(x)).values, layer.enter(Spikes(x), lease).values):
        assert torch.equal(entered[:, :, 0, 0], x.permute(0, 1, 4, 2, 3).flatten(2))
        assert layer.current_shape(Spikes(entered)) == (3, 2, 1, 1, 7)
        assert torch.equal(layer.leave(entered, x.shape), x)
    assert lease.owns(entered)


def test_a_gpu_takes_all_steps_at_once_goes_dense_and_is_asked_for_no_number(monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", 4 * 64 * 2)
    cpu, gpu = Compute(events="fixed"), Compute("triton", events="fixed")
    counts, fired = torch.zeros(6, 1, 1, 1, 64, dtype=torch.uint8), torch.full((6, 64), 2)
    assert list(chunks(cpu, counts)) == [(0, 2), (2, 4), (4, 6)]
    assert list(chunks(gpu, counts)) == [(0, 6)]
    synapse, x = Synapse(torch.zeros(64, 64), None, Geometry()), Spikes(counts, density=0.01)
    assert (goes_by_events(synapse, x, cpu)[0], goes_by_events(synapse, x, gpu)) == (True, (False, False))
    assert (density(cpu, fired, counts), density(gpu, fired.to("meta"), counts)) == (2.0, 1.0)


@pytest.mark.parametrize(
    "node",
    [
        flat_layer(torch.zeros(7, 120)),
        Fire(Neuron(), (2, 2)),
        Sum((-1, -2)),
        MaxPool((2, 2)),
        Mask(lambda: torch.ones(1), 0.5),
    ],
    ids=lambda node: type(node).__name__,
)
def test_every_node_tells_its_size_and_gives_zeros_for_what_is_wanted(node):
    assert not node.waits(Compute())
    assert node.zeros([False] * len(node.learned)) == [None] * len(node.learned)
    found = node.zeros([True] * len(node.learned))
    assert [None if zero is None else zero.shape for zero in found] == [getattr(t, "shape", None) for t in node.learned]
    size = node.size([Spikes(torch.empty(1, 2, 4, 5, 6, dtype=torch.uint8, device="meta"))] * len(node.reads))
    assert size.out.values.shape[:2] == (1, 2)
    assert size.floats + size.bytes > 0


@needs_kernels
def test_the_membrane_moves_on_and_the_callers_is_left(how, rng):
    current, start = torch.randn(4, 2, 4, 4, 5, generator=rng), torch.randn(2, 4, 4, 5, generator=rng)
    before, affine = start.clone(), Affine.identity(4, 5, torch.device("cpu"))
    whole, parts = (Firing(Neuron(), (2, 2), how, current, start, 0) for _ in range(2))
    seen = whole.chunk(current, affine, 0, Measure())
    for t in (0, 2):
        parts.chunk(current[t : t + 2], affine.steps(t, t + 2), t, Measure())
    assert torch.equal(whole.counts, parts.counts)
    assert torch.equal(whole.membrane, parts.membrane)
    assert torch.equal(start, before)
    given = whole.spikes(seen)
    assert (given.scale, given.largest, given.values.shape) == (0.25, 4, (4, 2, 2, 2, 5))
    own = how.lease.take(*start.shape)
    for in_place, membrane, same in ((True, own, True), (True, start, False), (False, own, False)):
        moves = Firing(Neuron(), (2, 2), replace(how, in_place=in_place), current, membrane, 0)
        assert (moves.membrane is membrane) == same


@needs_kernels
def test_an_input_that_is_flattened_is_moved_and_else_it_is_kept_as_it_is(how, rng):
    one = flat_layer(torch.randn(7, 120, generator=rng))
    x = torch.randn(3, 2, 4, 5, 6, generator=rng)
    flat = x.permute(0, 1, 4, 2, 3).reshape(3, 2, 1, 1, 120).contiguous()
    image, row = (one.forward(how, [Spikes(values)], 0, Start()) for values in (x, flat))
    assert torch.equal(image.out.values, row.out.values)
    assert (image.keeps, row.keeps) == ((False,), (True,))
    assert how.lease.owns(image.saved.moved)
    assert row.saved.moved is None


@needs_kernels
def test_a_layer_without_neurons_gives_its_normalised_current(how, rng):
    weight = torch.randn(7, 5, generator=rng)
    layer = replace(flat_layer(weight), neuron=None, flatten=False)
    x = torch.randn(3, 40, 1, 1, 5, generator=rng)
    passed = layer.forward(how, [Spikes(x)], 0, Start())
    current = x.flatten(2) @ weight.T
    var, mean = torch.var_mean(current, 1, correction=0, keepdim=True)
    torch.testing.assert_close(passed.out.values.flatten(2), 2 * (current - mean) / (var + 1e-4).sqrt())
    assert (passed.end.membrane, passed.seen.spikes) == (None, None)

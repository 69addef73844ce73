"""One node alone: shapes, layouts and chunks that a network would hide, what it gives on and asks of the device."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import Fire, Firing, Layer, Mask, MaxPool, Sum, by_batch, chunks, density, towards_current
from bntt.engine.graph.node import Gradients, GradState, PassContext, Start
from bntt.engine.graph.recording import Measure
from bntt.engine.layer_spec import Affine, SpikeGrad
from bntt.engine.synapse import Geometry, Spikes, Synapse, goes_by_events
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron
from bntt.ops.norm import Moments, normalize, step_moments
from bntt.ops.pooling import AllSteps, Window
from tests.kernels import needs_kernels


def flat_layer(weight: torch.Tensor, mean: torch.Tensor | None = None) -> Layer:
    gamma = torch.full((3, len(weight)), 2.0)
    return Layer(Geometry(), True, (1, 1), Neuron(), weight, None, gamma, None, mean, mean, 1e-4)


@pytest.fixture
def how() -> PassContext:
    return PassContext(lease=Workspace().lease())


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


WAYS = (False, False)


@pytest.mark.parametrize(
    ("pooling", "cut"),
    [
        (Window(0), [2, 4]),
        (Window(1), [6]),
        (Window(1), [1, 3, 2]),
        (Window(None), [6]),
        (Window(None), [1, 3, 2]),
        (AllSteps(), [6]),
    ],
    ids=str,
)
def test_what_comes_to_a_current_through_pooled_statistics(pooling, cut, rng):
    """Against autograd in float64, span after span as the backward pass meets them."""
    x = (torch.randn(6, 5, 1, 1, 3, generator=rng).double() * 2 + 1).requires_grad_()
    gamma, g = (torch.randn(6, *shape, generator=rng).double() for shape in ((3,), (5, 1, 1, 3)))
    layer = replace(flat_layer(torch.zeros(3, 4)), gamma=gamma, beta=None, pooling=pooling)
    own = step_moments(x.permute(0, 1, 4, 2, 3))
    pooled, _ = pooling.extend(None, own)
    normalize(x.permute(0, 1, 4, 2, 3), pooled.mean, pooled.var, gamma, eps=layer.eps).backward(
        g.permute(0, 1, 4, 2, 3)
    )
    past, found, first = None, [], 0
    for size in cut:
        steps = slice(first, first + size)
        part = Moments(own.mean.detach()[steps], own.var.detach()[steps], own.count[steps])
        found.append((steps, by_batch(layer, steps, part, past, WAYS)))
        past, first = found[-1][1].carried, first + size
    later = None
    for steps, one in reversed(found):
        centred = x.detach()[steps] - one.affine.mean[:, None, None, None]
        xhat = centred * one.inverse[:, None, None, None]
        sums = torch.stack([g[steps].sum((1, 2, 3)), (g[steps] * xhat).sum((1, 2, 3))])
        offset, slope, later = towards_current(layer, one, sums, later)
        over = [table.double()[:, None, None, None] for table in (one.affine.scale, offset, slope)]
        assert torch.allclose(over[0] * g[steps] - over[1] - over[2] * centred, x.grad[steps], atol=2e-6)


def counts(rng: torch.Generator, *shape: int, most: int = 1) -> Tensor:
    return torch.randint(0, most + 1, shape, generator=rng, dtype=torch.uint8)


def back(how, one, done, grad: Tensor, *wants: bool, scale: float = 1.0, held: Tensor | None = None) -> Gradients:
    given = SpikeGrad(grad, scale, held)
    return one.backward(how, done, given, [], first=0, carry=GradState(None), wants=wants or (True,), norms=None)


class TestSum:
    @pytest.mark.parametrize(
        ("scale", "largest", "counted"), [(1.0, 1, True), (1.0, 152, True), (1.0, 153, False), (0.25, 1, False)]
    )
    def test_counts_stay_counts_where_a_byte_holds_them(self, how, scale, largest, counted, rng):
        a = Spikes(counts(rng, 3, 2, 4, 4, 5, most=2), 1.0, 103, 0.25)
        b = Spikes(counts(rng, 3, 2, 4, 4, 5, most=2), scale, largest, 0.25)
        out = Sum((-1, -2)).forward(how, [a, b], 0, Start()).out
        assert torch.equal(out.values, (a.values + b.values * scale).to(out.values.dtype))
        assert out.counted == counted
        if counted:
            assert (out.scale, out.largest, out.density) == (1.0, 103 + largest, 0.5)

    def test_both_get_the_gradient_and_each_may_write_on_its_own(self, how, rng):
        one = Sum((-1, -2))
        held = how.lease.take(200, 300).normal_(generator=rng)
        a, b = back(how, one, None, held, True, True, scale=0.5, held=held)
        assert torch.equal(a.values, b.values)
        assert (a.scale, b.scale) == (0.5, 0.5)
        assert a.held.data_ptr() != b.held.data_ptr()
        assert back(how, one, None, held, True, False, held=held)[1] is None
        assert all(grad.held is None for grad in back(how, one, None, held, True, True))


class TestMaxPool:
    @pytest.mark.parametrize(
        ("window", "most", "shared"), [((2, 2), 0, True), ((3, 2), 1, False), ((1, 3), 3, True), ((2, 2), 3, False)]
    )
    def test_value_and_gradient_go_where_pytorchs_do(self, how, window, most, shared, rng):
        x = counts(rng, 4, 2, 7, 9, 5, most=most)
        images = x.flatten(0, 1).permute(0, 3, 1, 2).float().contiguous().requires_grad_()
        expected = F.max_pool2d(images, window)
        one = MaxPool(window)
        passed = one.forward(how, [Spikes(x, 1.0, most or 1)], 0, Start())
        assert torch.equal(passed.out.values.flatten(0, 1).permute(0, 3, 1, 2).float(), expected)
        assert (passed.keeps, passed.out.values.shape) == ((True,), MaxPool(window).size([Spikes(x)]).out.values.shape)
        grad = torch.randn(1 if shared else 4, *passed.out.values.shape[1:], generator=rng)
        full = grad.expand(4, -1, -1, -1, -1)
        expected.backward(full.flatten(0, 1).permute(0, 3, 1, 2))
        (found,) = back(how, one, passed.saved, grad, scale=0.5)
        assert found.scale == 0.5
        assert torch.equal(found.values.flatten(0, 1).permute(0, 3, 1, 2), images.grad)

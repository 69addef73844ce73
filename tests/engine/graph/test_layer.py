"""One node alone: shapes, layouts and chunks that a network would hide, what it gives on and asks of the device."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import (
    Fire,
    Firing,
    Layer,
    Mask,
    MaxPool,
    Sum,
    as_given,
    by_batch,
    chunks,
    density,
    towards_current,
)
from bntt.engine.graph.node import Gradients, GradState, PassContext, Start
from bntt.engine.graph.recording import Measure
from bntt.engine.layer_spec import Affine, SpikeGrad
from bntt.engine.synapse import Geometry, Spikes, Synapse, goes_by_events
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron, lif_sequence
from bntt.ops.norm import Moments, add_up, joined_moments, moment_sums, normalize, step_moments
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


@needs_kernels
def test_an_input_that_is_flattened_is_moved_and_else_it_is_kept_as_it_is(how, rng):
    one = flat_layer(torch.randn(7, 120, generator=rng))
    x = torch.randn(3, 2, 4, 5, 6, generator=rng)
    flat = x.permute(0, 1, 4, 2, 3).reshape(3, 2, 1, 1, 120).contiguous()
    image, row = (one.forward(how, [Spikes(values)], 0, Start()) for values in (x, flat))
    assert torch.equal(one.leave(one.enter(Spikes(x)).values, x.shape), x)
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


WAYS = (False, False)


def test_given_statistics_are_those_of_the_steps_and_do_not_move_with_the_running_ones():
    given = torch.arange(21.0).reshape(3, 7)
    found = as_given(flat_layer(torch.zeros(7, 120), given), slice(1, 3), WAYS)
    assert found.moments is None
    assert torch.allclose(found.inverse, (given[1:] + 1e-4).rsqrt())
    before = given[1:].clone()
    given.zero_()
    assert torch.equal(found.affine.mean, before)


def test_the_statistics_of_all_processes_are_those_of_their_batches_as_one(rng):
    x = torch.randn(4, 12, 7, generator=rng, dtype=torch.float64) * 3 + 50
    parts = [x[:, :5], x[:, 5:]]
    own = [Moments(p.float().mean(1), p.float().var(1, correction=0), (p.shape[1],) * 4) for p in parts]
    calls = []

    def reduce(sums):
        calls.append(sums.shape)
        return sums.add_(moment_sums(own[1]))

    steps = [Moments(own[0].mean[i : i + 2], own[0].var[i : i + 2], (5, 5)) for i in (0, 2)]
    found = add_up(joined_moments(steps), reduce)
    assert calls == [(4, 15)]
    assert found.count == (12,) * 4
    assert found.mean.dtype == torch.float32
    assert torch.allclose(found.mean.double(), x.mean(1), rtol=1e-6)
    assert torch.allclose(found.var.double(), x.var(1, correction=0), rtol=1e-5)


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

    def test_currents_and_spikes(self, how, rng):
        current, signed = torch.randn(3, 2, 4, 4, 5, generator=rng), counts(rng, 3, 2, 4, 4, 5).to(torch.int8).neg()
        for pair in ((Spikes(current), Spikes(signed)), (Spikes(signed), Spikes(current))):
            out = Sum((-1, -2)).forward(how, pair, 0, Start()).out
            assert torch.equal(out.values, current + signed)

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


def test_a_mask_is_of_all_steps(how, rng):
    x, stays = counts(rng, 4, 2, 3, 3, 5, most=3), counts(rng, 2, 3, 3, 5)
    one = Mask(lambda: stays, 0.75)
    passed = one.forward(how, [Spikes(x, 0.5, 3, 0.5)], 0, Start())
    assert torch.equal(passed.out.values, x * stays)
    assert (passed.out.scale, passed.out.largest, passed.out.density, passed.keeps) == (2.0, 3, 0.125, (False,))
    grad = torch.randn(1, 2, 3, 3, 5, generator=rng)
    (found,) = back(how, one, passed.saved, grad)
    assert torch.equal(found.values, grad * stays)
    assert found.scale == 4.0


@needs_kernels
@pytest.mark.parametrize(("learned", "chunk"), [(True, 1), (False, engine_layer.CHUNK_BYTES)])
def test_neurons_on_a_current_as_it_is(how, learned, chunk, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    x, start = torch.randn(4, 2, 3, 3, 5, generator=rng), torch.randn(2, 3, 3, 5, generator=rng)
    leak = torch.tensor(0.7, requires_grad=True) if learned else 0.7
    one = Fire(Neuron(leak, 0.5))
    passed = one.forward(how, [Spikes(x)], 0, Start(start))
    inputs = [tensor.double().requires_grad_() for tensor in (x, start)]
    twin = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    spikes, membrane = lif_sequence(inputs[0], inputs[1], Neuron(twin, 0.5))
    assert torch.equal(passed.out.values.double(), spikes)
    assert torch.allclose(passed.end.membrane.double(), membrane, atol=1e-6)
    assert torch.equal(passed.seen.spikes.double(), spikes.sum((1, 2, 3)))
    grads = [torch.randn(shape, generator=rng) for shape in (x.shape, start.shape)]
    torch.autograd.backward([spikes, membrane], [grad.double() for grad in grads])
    carry, totals = GradState(grads[1].clone()), one.zeros((True, True))
    given = SpikeGrad(grads[0])
    (found,) = one.backward(how, passed.saved, given, totals, first=0, carry=carry, wants=(True,), norms=None)
    assert torch.allclose(found.values.double(), inputs[0].grad, atol=1e-5)
    assert torch.allclose(carry.membrane.double(), inputs[1].grad, atol=1e-5)
    assert (totals == [None, None]) == (not learned)
    if learned:
        assert torch.allclose(totals[0].double(), twin.grad, rtol=1e-4)

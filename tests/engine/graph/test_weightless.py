"""What happens to spikes between layers, against PyTorch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import Fire, Mask, MaxPool, Sum
from bntt.engine.graph.node import Gradients, GradState, PassContext, Start
from bntt.engine.layer_spec import SpikeGrad
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Workspace
from bntt.ops.lif import Neuron, lif_sequence
from tests.kernels import needs_kernels


@pytest.fixture
def how() -> PassContext:
    return PassContext(lease=Workspace().lease())


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

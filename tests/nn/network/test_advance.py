"""A network advanced by any number of steps from an explicit state: the same numbers however time is cut."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

import bntt
from bntt.engine import workspace
from bntt.models import mlp
from bntt.nn import NORMS, NetworkState, SpikingNetwork, norm_facts
from bntt.nn.blocks import BlockState
from bntt.nn.call import Noise, detached, rows_of
from bntt.nn.network.measured import Currents, LayerMeasures, Measure
from bntt.ops.norm import Moments
from tests.grids import pairs
from tests.kernels import choose, needs_kernels
from tests.nn.networks import (
    FORMS,
    advanced,
    cuts_are_the_whole,
    folded,
    leaking,
    norm_of,
    noting,
    residual,
    small,
    spikes_of,
    unsettled,
)

T = 6
CUTS = [[1] * 6, [2, 4], [5, 1], [1, 3, 2]]


def network(
    norm: str = "bntt", *, training: bool = False, dtype: torch.dtype = torch.float64, **options
) -> SpikingNetwork:
    net = bntt.models.vgg6(width=0.25, num_steps=T, num_classes=4, image_size=8, norm=norm, seed=2, **options).to(dtype)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            if "norm" in name:
                tensor.add_(0.3 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64))
            if name.endswith("gamma"):
                tensor.mul_(2)
            if name.endswith("running_var"):
                tensor.mul_(0.3)
    return net.train(training)


def inputs(dtype: torch.dtype = torch.float64, batch: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(6)
    return torch.randint(-1, 2, (T, batch, 1, 8, 8), generator=generator).to(dtype)


NETS = {
    **{name: lambda training, name=name: network(name, training=training) for name in NORMS},
    "window": lambda training: unsettled(small(T, norm_of("window"))).train(training),
    "learned leaks": lambda training: leaking(small(T), "channel", 0.7).train(training),
    "inputs that decay": lambda training: leaking(small(T), "layer", 0.4, decay_input=True).train(training),
    **{form: lambda training, form=form: residual(form, T, dropout=0.3).train(training) for form in FORMS},
    "folded": lambda training: folded("both", T),
    "a count of spikes": lambda training: network(training=training, readout="spikes", threshold=0.3),
}


@pytest.mark.parametrize("training", [True, False])
def test_every_cut_is_the_whole_in_float64(training):
    for row, make in NETS.items():
        with noting(row):
            x = inputs() if row in NORMS or row == "a count of spikes" else spikes_of(T, 4, torch.Generator())
            net = make(training)
            if training and any(norm_facts(part).looks_ahead for part in net.modules()):
                with pytest.raises(ValueError, match="all time steps"):
                    net.advance(x[:2])
                assert torch.allclose(net(x), make(training).advance(x)[0][-1], atol=1e-12)
            else:
                cuts_are_the_whole(lambda make=make: make(training), x, CUTS, seed=1, draw=2)


@needs_kernels
@pairs(recompute=["never", 1, 2], norm=["bntt", "bn", "none"], sizes=[[6], [2, 4], [1, 3, 2]], training=[True, False])
def test_gradients_flow_through_a_fused_state(norm, recompute, sizes, training):
    """Of every step's logits and of the last membranes, towards input, weights, γ and the membranes at the start."""
    results = []
    for backend in ("cpu", "reference"):
        net = network(norm, training=training, dtype=torch.float32)
        choose(net, backend=backend, recompute=recompute)
        _, state = net.eval().advance(inputs(torch.float32)[:1])
        net.train(training)
        leaves = [block.membrane.detach().clone().requires_grad_() for block in state.blocks]
        blocks = tuple(block._replace(membrane=leaf) for block, leaf in zip(state.blocks, leaves, strict=True))
        start = NetworkState(0, 5, blocks, None)
        x = inputs(torch.float32).flip(0).requires_grad_()
        logits, now = [], start
        for part in x.split(sizes):
            some, now = net.advance(part, now)
            logits.append(some)
        loss = torch.cat(logits).square().sum() + sum(0.1 * block.membrane.square().mean() for block in now.blocks)
        loss.backward()
        results.append([torch.cat(logits).detach(), x.grad, *(leaf.grad for leaf in leaves)])
        results[-1] += [p.grad for p in net.parameters()] + list(net.buffers())
    assert norm == "none" or all(float(value.abs().max()) > 0 for value in results[0])
    for found, expected in zip(*results, strict=True):
        assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max()) + 1e-6


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_detach_cuts_and_a_state_is_left_as_it_was(backend, monkeypatch):
    monkeypatch.setattr(workspace, "_SMALL", 1)  # buffers of a small network are kept as a large one's are
    net, x = network(dtype=torch.float32), inputs(torch.float32)
    choose(net, backend=backend)
    early, late = x[:3].clone().requires_grad_(), x[3:].clone().requires_grad_()
    _, state = net.advance(early)
    before = copy.deepcopy([block.membrane.detach() for block in state.blocks])
    logits, _ = net.advance(late, state.detach())
    logits[-1].square().sum().backward()
    for held in workspace.WORKSPACE._free:
        held.fill_(255)
    assert early.grad is None
    assert late.grad.abs().max() > 0
    net.advance(late, state)
    assert all(torch.equal(a, b.membrane) for a, b in zip(before, state.blocks, strict=True))


@pairs(backend=["auto", "reference"], norm=["bntt", "tab", "tdbn", "layer"])
def test_samples_that_leave_change_nothing_for_the_others(norm, backend):
    net, x = network(norm, dtype=torch.float32), inputs(torch.float32)
    choose(net, backend=backend)
    with torch.no_grad():
        whole, _ = advanced(net, x, T)
        _, state = net.advance(x[:2])
        keep = torch.tensor([True, False, True, True, False])
        some, after = net.advance(x[2:, keep], state.rows(keep))
    assert torch.allclose(some, whole[2:, keep], atol=1e-5)
    assert (after.batch, after.readout.shape) == (3, (3, 4))


def test_a_model_made_in_inference_mode_streams():
    with torch.inference_mode():
        net = network(dtype=torch.float32)
        _, state = net.advance(inputs(torch.float32)[:1])
        logits, _ = net.advance(inputs(torch.float32)[1:2], state)
    with torch.no_grad():
        expected = network(dtype=torch.float32).advance(inputs(torch.float32)[:2])[0][1:]
    assert torch.allclose(logits, expected, atol=1e-5)


def state(**changes) -> NetworkState:
    moments = Moments(torch.ones(1, 2), torch.ones(1, 2), (3,))
    blocks = (BlockState(torch.arange(6.0).reshape(3, 2), moments), {"u": torch.arange(3.0)}, None)
    return NetworkState(2, 3, blocks, torch.arange(3.0)[:, None], Noise(1, 2, torch.tensor([7, 8, 9])), **changes)


@pytest.mark.parametrize("keep", [torch.tensor([True, False, True]), torch.tensor([0, 2])])
def test_rows_are_taken_of_everything_that_has_some(keep):
    some = state().rows(keep)
    assert (some.steps, some.batch) == (2, 2)
    assert some.blocks[0].membrane.tolist() == [[0, 1], [4, 5]]
    assert some.blocks[0].norm.count == (3,)
    assert torch.equal(some.blocks[0].norm.mean, torch.ones(1, 2))
    assert some.blocks[1]["u"].tolist() == [0, 2]
    assert some.blocks[2] is None
    assert some.readout.flatten().tolist() == [0, 2]
    assert some.noise.index.tolist() == [7, 9]
    assert (some.noise.seed, some.noise.draw) == (1, 2)


def test_rows_keep_the_order_of_memory(rng):
    """A membrane of the kernels, with the channels last, and one of modules."""
    last = torch.randn(5, 4, 4, 3, generator=rng).permute(0, 3, 1, 2)
    for keep in (torch.tensor([3, 1, 4]), torch.tensor([True, False, True, True, False])):
        some = NetworkState(1, 5, (last, last.contiguous()), torch.arange(5.0)[:, None]).rows(keep)
        assert all(torch.equal(block, last[keep]) for block in some.blocks)
        assert some.blocks[0].permute(0, 2, 3, 1).is_contiguous()


def test_a_state_of_yours_says_how():
    class Mine:
        def __init__(self, u):
            self.u = u

        def rows(self, keep):
            return Mine(self.u[keep])

        def detach(self):
            return Mine(self.u.detach())

    kept = rows_of((Mine(torch.arange(3.0, requires_grad=True)),), torch.tensor([2]))[0]
    assert kept.u.tolist() == [2]
    assert kept.u.requires_grad
    assert not detached(kept).u.requires_grad


@pytest.mark.parametrize("place", ["bntt.engine.graph.recording", "bntt.nn.network.measured"])
def test_a_state_with_measurements_is_kept_in_a_file(place, tmp_path, monkeypatch):
    """As it is saved now, and as it was before its record came to the engine."""
    net = mlp(in_features=4, hidden=(8,), num_steps=3).eval()
    _, state = net.advance(torch.ones(2, 3, 4), measure=Measure(spikes=True, current=(0.0, 1.0), arrivals=True))
    with monkeypatch.context() as before:
        for kind in (LayerMeasures, Currents):
            before.setattr(kind, "__module__", place)
        torch.save(state, tmp_path / "state.pt")
    found = torch.load(tmp_path / "state.pt")
    assert torch.equal(found.measured["fc1"].spikes, state.measured["fc1"].spikes)
    assert torch.equal(net.advance(torch.ones(1, 3, 4), found)[0], net.advance(torch.ones(1, 3, 4), state)[0])

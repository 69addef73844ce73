"""A network advanced by any number of steps from an explicit state: the same numbers however time is cut."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine import workspace
from bntt.nn import NORMS, BlockState, DirectEncoder, NetworkState, PoissonEncoder, SpikingClassifier, SpikingNetwork
from tests.grids import pairs
from tests.kernels import choose, needs_kernels

LOOKS_AHEAD = {"tdbn", "tebn", "bn-pooled", "bntt-shared-statistics", "bntt-shared-both"}
T = 6
CUTS = [[1] * 6, [6], [2, 4], [5, 1], [1, 3, 2]]


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


def cut(net: SpikingNetwork, x: Tensor, sizes: list[int]) -> tuple[Tensor, NetworkState]:
    """Logits of all steps, and the last state."""
    state, logits = None, []
    for part in x.split(sizes):
        some, state = net.advance(part, state)
        logits.append(some)
    return torch.cat(logits), state


@pairs(norm=NORMS, training=[True, False])
def test_every_cut_is_the_whole_in_float64(norm, training):
    """Logits and every gradient to 1e-10, running statistics to 1e-12; step by step is a cut."""
    if training and norm in LOOKS_AHEAD:
        with pytest.raises(ValueError, match="takes its training statistics over all time steps"):
            network(norm, training=True).advance(inputs()[:2])
        whole, parts = network(norm, training=True), network(norm, training=True)
        assert torch.allclose(whole(inputs()), parts.advance(inputs())[0][-1], atol=1e-12)
        return
    results, held = [], []
    for sizes in [None, *CUTS]:
        net, x = network(norm, training=training), inputs().requires_grad_()
        logits = net(x) if sizes is None else cut(net, x, sizes)[0][-1]
        nn.functional.cross_entropy(logits, torch.arange(5) % 4).backward()
        results.append([logits.detach(), x.grad, *(p.grad for p in net.parameters()), *net.buffers()])
        held.append([*net.buffers()])
    assert norm == "none" or all(float(value.abs().max()) > 0 for value in results[0])
    for found in results[1:]:
        for ours, theirs in zip(found, results[0], strict=True):
            assert torch.isfinite(theirs).all()
            assert float((ours - theirs).abs().max()) <= 1e-10 * max(1e-12, float(theirs.abs().max()))
    assert all(torch.allclose(a, b, atol=1e-12, rtol=0) for own in held for a, b in zip(own, held[0], strict=True))


def test_logits_after_every_step_are_the_steps():
    net, x = network(), inputs()
    logits, _ = cut(net, x, [2, 4])
    state = None
    for t in range(T):
        expected, state = net.advance(x[t : t + 1], state)
        assert torch.allclose(logits[t], expected[0], atol=1e-12)


@needs_kernels
@pairs(fire=["after", "before"], reset=["soft", "hard"], sizes=CUTS)
def test_fused_in_evaluation(fire, reset, sizes):
    """The same spikes: float32 logits agree to rounding, after every step, and so do the membranes."""
    x = inputs(torch.float32)
    ours, theirs = (network(dtype=torch.float32, fire=fire, reset=reset) for _ in range(2))
    choose(ours, backend="cpu")
    choose(theirs, backend="reference")
    (found, state), (expected, other) = cut(ours, x.to(torch.int8), sizes), cut(theirs, x, [T])
    assert torch.allclose(found, expected, atol=1e-5)
    for ours_after, theirs_after in zip(state.blocks, other.blocks, strict=True):
        assert torch.allclose(ours_after.membrane, theirs_after.membrane, atol=1e-4)


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


@needs_kernels
def test_a_gradient_of_the_membranes_alone():
    results = []
    for backend in ("cpu", "reference"):
        net = network(dtype=torch.float32)
        choose(net, backend=backend)
        _, state = net.advance(inputs(torch.float32)[:3])
        state.blocks[2].membrane.square().sum().backward()
        results.append([p.grad if p.grad is not None else torch.zeros_like(p) for p in net.parameters()])
    assert any(float(p.abs().max()) > 0 for p in results[0])
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


@needs_kernels
def test_a_state_can_be_advanced_from_twice_without_gradients(monkeypatch):
    """What it holds is the caller's: nobody else's memory afterwards."""
    monkeypatch.setattr(workspace, "_SMALL", 1)
    net, x = network(dtype=torch.float32), inputs(torch.float32)
    choose(net, backend="cpu")
    with torch.no_grad():
        _, state = net.advance(x[:3])
        first, _ = net.advance(x[3:], state)
        for held in workspace.WORKSPACE._free:
            held.fill_(255)
        again, _ = net.advance(x[3:], state)
    assert torch.equal(first, again)


@pairs(backend=["auto", "reference"], norm=["bntt", "tab", "tdbn", "layer"])
def test_samples_that_leave_change_nothing_for_the_others(norm, backend):
    net, x = network(norm, dtype=torch.float32), inputs(torch.float32)
    choose(net, backend=backend)
    with torch.no_grad():
        whole, _ = cut(net, x, [T])
        _, state = net.advance(x[:2])
        keep = torch.tensor([True, False, True, True, False])
        some, after = net.advance(x[2:, keep], state.rows(keep))
    assert torch.allclose(some, whole[2:, keep], atol=1e-5)
    assert (after.batch, after.readout.shape) == (3, (3, 4))


def test_rows_are_refused_in_training_and_taken_without_batch_statistics():
    _, state = network("bntt", training=True).advance(inputs()[:2])
    with pytest.raises(ValueError, match="samples cannot leave a batch in training"):
        state.rows(torch.tensor([0]))
    _, state = network("layer", training=True).advance(inputs()[:2])
    assert state.rows(torch.tensor([0])).readout.shape == (1, 4)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_state_of_other_neurons_or_another_network_is_refused(backend):
    net, x = network(dtype=torch.float32), inputs(torch.float32)
    choose(net, backend=backend)
    _, state = net.advance(x[:1])
    with pytest.raises(ValueError, match=r"membrane .*begin every batch with state=None"):
        net.advance(x[1:2], replace(state, blocks=(state.blocks[-1], *state.blocks[1:])))
    with pytest.raises(ValueError, match=r"membrane .*begin every batch with state=None"):
        net.advance(x[1:2], replace(state, blocks=(BlockState(torch.zeros(5, 4, 1, 1), None), *state.blocks[1:])))
    with pytest.raises(ValueError, match="the state is of a network of 4 blocks, this has 5"):
        net.advance(x[1:2], replace(state, blocks=state.blocks[1:]))


def test_a_state_from_training_is_no_sample_s_own_for_good():
    net = network("tab", training=True)
    _, state = net.advance(inputs()[:2])
    _, state = net.eval().advance(inputs()[2:3], state)
    with pytest.raises(ValueError, match="begin with state=None in evaluation mode"):
        state.rows(torch.tensor([0]))
    _, state = net.advance(inputs()[:2])
    with pytest.raises(ValueError, match="takes its training statistics over earlier steps as well"):
        net.train().advance(inputs()[2:3], state)


def test_a_model_made_in_inference_mode_streams():
    with torch.inference_mode():
        net = network(dtype=torch.float32)
        _, state = net.advance(inputs(torch.float32)[:1])
        logits, _ = net.advance(inputs(torch.float32)[1:2], state)
    with torch.no_grad():
        expected = network(dtype=torch.float32).advance(inputs(torch.float32)[:2])[0][1:]
    assert torch.allclose(logits, expected, atol=1e-5)


def test_what_cannot_be_advanced_says_so():
    net, x = network(), inputs()
    _, state = net.advance(x)
    with pytest.raises(ValueError, match=r"has 6 time steps \(0-5\), got t=6"):
        net.advance(x[:1], state)
    _, state = net.advance(x[:2])
    with pytest.raises(ValueError, match=r"has 6 time steps \(0-5\), got t=6"):
        net.advance(x[:5], state)
    with pytest.raises(ValueError, match="the state is of 5 samples, the input of 3"):
        net.advance(x[:1, :3], state)
    with pytest.raises(ValueError, match="at least one time step"):
        net.advance(x[:0])
    with pytest.raises(ValueError, match="steps first, then samples"):
        net.advance(torch.ones(3, 2))


@pairs(backend=["auto", "reference"], encoder=[PoissonEncoder, DirectEncoder])
def test_a_classifier_draws_the_steps_it_advances_by(encoder, backend, rng):
    net = network(dtype=torch.float32)
    choose(net, backend=backend)
    model = SpikingClassifier(encoder(T, mean=[0.4], std=[0.2]), net).eval()
    images, index = torch.rand(5, 1, 8, 8, generator=rng), torch.tensor([4, 40, 2, 9, 0])
    with torch.no_grad():
        whole = model(images, seed=3, index=index, draw=2)
        first, state = model.advance(images, steps=2, seed=3, index=index, draw=2)
        keep = torch.tensor([True, False, True, True, True])
        rest, state = model.advance(images[keep], state.rows(keep), steps=4)
    assert torch.allclose(rest[-1], whole[keep], atol=1e-5)
    assert first.shape == (2, 5, 4)
    assert state.noise.index.tolist() == [4, 2, 9, 0]
    with pytest.raises(ValueError, match="the state has the noise of seed 3, draw 2"):
        model.advance(images[keep], state, seed=4)
    with pytest.raises(ValueError, match="the state has the noise"):
        model.advance(images[keep], state, index=torch.arange(4))
    with pytest.raises(ValueError, match=r"the encoder has 6 time steps"):
        model.advance(images[keep], state)


@needs_kernels
def test_a_weight_that_changes_between_steps_counts_from_then_on():
    nets = [network(dtype=torch.float32) for _ in range(2)]
    x = inputs(torch.float32)
    for net, backend in zip(nets, ("cpu", "reference"), strict=True):
        choose(net, backend=backend, events="fixed")
    results = []
    for net in nets:
        with torch.no_grad():
            _, state = net.advance(x[:2])
            net.blocks["conv2"].synapse.weight.mul_(1.5)
            net.blocks["fc1"].synapse.weight.mul_(0.7)
            results.append(net.advance(x[2:], state)[0])
    assert torch.allclose(*results, atol=1e-5)

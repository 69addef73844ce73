"""Norms as others call them: all steps in a call, one a call, by number, or with a state. No peer is needed."""

import copy
import itertools

import pytest
import torch
from torch import nn

import bntt
from bntt import interop
from bntt.interop.adapters import LoopedNeurons
from bntt.nn import NORMS, Call, SpikingBlock, TemporalNorm
from bntt.nn.network.fold import retime
from tests.rows import each_row

T = 4


def made(name: str, rng: torch.Generator, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A norm whose parameters and statistics differ in every step."""
    norm = NORMS[name](3, T, 1.0).to(dtype)
    for key, value in norm.state_dict().items():
        value.uniform_(0.3, 1.5, generator=rng) if key.endswith("var") else value.normal_(1, 0.3, generator=rng)
    return norm


def drive(rng: torch.Generator, dtype: torch.dtype = torch.float32, steps: int = T) -> torch.Tensor:
    return torch.randn(steps, 5, 3, 4, 4, generator=rng, dtype=dtype)


def losses_of(network: nn.Module, loss, updates: int, lr: float) -> list[float]:
    """Of so many updates by Adam."""
    optimizer, losses = torch.optim.Adam(network.parameters(), lr=lr), []
    for _ in range(updates):
        optimizer.zero_grad()
        now = loss()
        now.backward()
        optimizer.step()
        losses.append(float(now.detach()))
    return losses


@each_row("name", ["bntt", "tab", "tebn", "layer"])
def test_every_form_says_what_the_norm_says_in_evaluation(name, rng):
    norm = made(name, rng).eval()
    x = drive(rng)
    expected, _ = norm(x)
    assert torch.equal(interop.as_layer(norm)(x), expected)
    step, cell, state = interop.as_step(norm), interop.as_cell(norm), None
    assert torch.equal(torch.stack([step(now) for now in x]), expected)
    for t, now in enumerate(x):
        y, state = cell(now, state)
        assert torch.equal(y, expected[t])
        assert not isinstance(norm, TemporalNorm) or torch.equal(norm[t](now), expected[t])
    folded, state = interop.as_cell(norm, sequence=True), None
    first, state = folded(x[:3], state)
    assert torch.equal(torch.cat([first, folded(x[3:], state)[0]]), expected)


def check_gradients(name: str, run, rng: torch.Generator) -> None:
    """Output, gradients and statistics of a norm in some form, ``run(norm, x)``, are those of the norm itself."""
    whole, x, weights = made(name, rng, torch.float64), drive(rng, torch.float64), drive(rng, torch.float64)
    norm, leaf = copy.deepcopy(whole), x.clone().requires_grad_()
    (whole(x.requires_grad_())[0] * weights).sum().backward()
    (run(norm, leaf) * weights).sum().backward()
    assert torch.allclose(leaf.grad, x.grad, rtol=0, atol=1e-12)
    for mine, theirs in zip(norm.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=0, atol=1e-11)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(norm.buffers(), whole.buffers(), strict=True))


def by_cell(norm, x):
    cell, state, rows = interop.as_cell(norm), None, []
    for now in x:
        row, state = cell(now, state)
        rows.append(row)
    return torch.stack(rows)


FORMS = {
    "layer": lambda norm, x: interop.as_layer(norm)(x),
    "step": lambda norm, x: torch.stack([*map(interop.as_step(norm), x)]),
    "cell": by_cell,
}


@each_row("name, form", itertools.product(["bntt", "tab", "bn"], FORMS))
def test_gradients_and_statistics_of_steps_are_those_of_the_whole(name, form, rng):
    check_gradients(name, FORMS[form], rng)


def net_of(part: nn.Module, current: torch.Tensor) -> bntt.SpikingNetwork:
    """A network of a block with these neurons, six of them, for a current ``[T, B, F]``."""
    block = SpikingBlock(nn.Linear(current.shape[2], 6), bntt.BNTT(6, num_steps=len(current)), part)
    return bntt.SpikingNetwork({"a": block}, bntt.Readout(nn.Linear(6, 2, bias=False)))


def check_neurons(part: nn.Module, expected: torch.Tensor, current: torch.Tensor) -> None:
    """Neurons of a peer fire as they do alone, wherever time is cut, and in our block they learn and go on by rows."""
    first, state = part(current[:3])
    assert expected.mean() > 0.02
    assert torch.equal(torch.cat([first, part(current[3:], state=state)[0]]), expected)
    net = net_of(part, current)
    net(current).sum().backward()
    assert net.blocks["a"].synapse.weight.grad.abs().sum() > 0
    _, state = net.eval().advance(current[:4])
    rows = state.rows(torch.tensor([2, 0]))
    assert torch.allclose(net.advance(current[4:, [2, 0]], rows)[0][-1], net(current)[[2, 0]], atol=1e-6)


def check_copies(part: nn.Module, current: torch.Tensor, change) -> None:
    """Change the neurons in copies of a network: spikes and gradients are the copy's, and the network's stay."""
    net = net_of(part, current).eval()
    before = net(current)
    for copied in (copy.deepcopy(net), retime(net, len(current), "truncate")):
        assert torch.equal(copied(current), before)
        change(copied.blocks["a"].lif.neuron)
        after = copied(current)
        after.sum().backward()
        assert not torch.equal(after, before)
        assert torch.equal(net(current), before)
        assert all(value.grad is not None for value in copied.parameters())
        assert all(value.grad is None for value in net.parameters())


class Above(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(0.1))


def test_a_copy_computes_with_its_own_neurons(rng):
    part = LoopedNeurons(Above(), lambda neuron, current, state: ((current - neuron.threshold).relu(), state))
    check_copies(part, drive(rng).mean((3, 4)), lambda neuron: neuron.threshold.data.fill_(0.2))


def test_too_many_steps_are_an_error_that_says_how_to_begin_anew(rng):
    norm, x = bntt.BNTT(3, num_steps=T), drive(rng, steps=T + 1)
    step = interop.as_step(norm)
    for call, named in (
        (lambda: interop.as_layer(norm)(x), "4 time steps"),
        (lambda: interop.as_layer(norm, time_first=True)(x), "4 time steps"),
        (lambda: [step(now) for now in x], r"interop\.reset\(network\)"),
        (lambda: interop.as_cell(norm, sequence=True)(x), "state=None"),
    ):
        with pytest.raises(ValueError, match=named):
            call()
    with pytest.raises(IndexError, match="t=4"):
        norm[T]
    interop.reset(nn.Sequential(nn.Sequential(step)))
    assert step(x[0]).shape == x[0].shape


def test_a_layer_refuses_samples_before_time(rng):
    norm = bntt.BNTT(3, num_steps=T)
    norm.path = "bn"
    for batch in (1, 2, T + 1):
        with pytest.raises(ValueError, match="'bn'"):
            interop.as_layer(norm)(torch.randn(batch, T, 3, 2, 2, generator=rng))
    x = drive(rng)
    assert torch.equal(interop.as_layer(norm, time_first=True)(x[:2]), norm(x, Call())[0][:2])
    assert interop.as_layer(bntt.LayerNorm(3))(x[:2]).shape == x[:2].shape


def test_norms_that_look_ahead_refuse_to_train_a_step_at_a_time(rng):
    norm, x = made("tebn", rng), drive(rng)
    for one in (interop.as_step(norm), norm[0], interop.as_cell(norm)):
        with pytest.raises(ValueError, match="all time steps"):
            one(x[0])
    assert interop.as_layer(norm)(x).shape == x.shape
    assert interop.as_cell(norm, sequence=True)(x)[0].shape == x.shape


def test_the_count_of_steps_is_nowhere_in_what_is_saved(rng):
    step = interop.as_step(bntt.BNTT(3, num_steps=T))
    step(drive(rng)[0])
    assert set(step.state_dict()) == {"norm.gamma", "norm.running_mean", "norm.running_var"}
    copied = copy.deepcopy(step)
    step.reset()
    for now in drive(rng, steps=3):
        copied(now)
    with pytest.raises(ValueError, match="5"):
        copied(drive(rng)[0])


def test_half_precision_stays_half_and_counts_of_events_are_not_cut(rng, no_hook):
    norm = made("bntt", rng).eval()
    for dtype in (torch.bfloat16, torch.float16, torch.int64):
        x = (2 * drive(rng)).to(dtype)
        expected = norm(x.float())[0]
        expected = expected.to(dtype) if dtype.is_floating_point else expected
        step, cell = interop.as_step(norm), interop.as_cell(norm, sequence=True)
        for y in (interop.as_layer(norm)(x), torch.stack([step(now) for now in x]), cell(x)[0]):
            assert y.dtype == expected.dtype
            assert torch.equal(y, expected)


def test_what_is_no_norm_is_refused(no_hook):
    for make in (interop.as_layer, interop.as_step, interop.as_cell):
        with pytest.raises(TypeError, match="norm"):
            make(nn.BatchNorm2d(3))
    with pytest.raises(TypeError, match="current"):
        interop.as_step(bntt.BNTT(3, num_steps=T))(None)

"""Norms as others call them: all steps in a call, one a call, by number, or with a state. No peer is needed."""

import copy

import pytest
import torch
from torch import nn

import bntt
from bntt import interop
from bntt.interop.adapters import LoopedNeurons
from bntt.nn import NORMS, Call, SpikingBlock, TemporalNorm
from bntt.nn.network.fold import retime

T = 4
FAMILY = [name for name in NORMS if name not in ("layer", "none")]


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


@pytest.mark.parametrize("name", ["bntt", "tab", "tebn", "layer"])
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


@pytest.mark.parametrize("name", ["bntt", "tab", "bn"])
def test_gradients_and_statistics_of_steps_are_those_of_the_whole(name, rng):
    whole, x, apply_weights = made(name, rng, torch.float64), drive(rng, torch.float64), drive(rng, torch.float64)
    start = copy.deepcopy(whole)
    (whole(x.requires_grad_())[0] * apply_weights).sum().backward()
    for run in (by_layer, by_step, by_cell):
        norm, leaf = copy.deepcopy(start), x.detach().clone().requires_grad_()
        (run(norm, leaf) * apply_weights).sum().backward()
        assert torch.allclose(leaf.grad, x.grad, rtol=0, atol=1e-12)
        for mine, theirs in zip(norm.parameters(), whole.parameters(), strict=True):
            assert torch.allclose(mine.grad, theirs.grad, rtol=0, atol=1e-11)
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(norm.buffers(), whole.buffers(), strict=True))


def by_layer(norm, x):
    return interop.as_layer(norm)(x)


def by_step(norm, x):
    return torch.stack([*map(interop.as_step(norm), x)])


def by_cell(norm, x):
    cell, state, rows = interop.as_cell(norm), None, []
    for now in x:
        row, state = cell(now, state)
        rows.append(row)
    return torch.stack(rows)


def check_copies(part: nn.Module, current: torch.Tensor, change) -> None:
    """Change the neurons in copies of a network: spikes and gradients are the copy's, and the network's stay."""
    block = SpikingBlock(nn.Linear(current.shape[2], 6), bntt.BNTT(6, num_steps=len(current)), part)
    net = bntt.SpikingNetwork({"a": block}, bntt.Readout(nn.Linear(6, 2, bias=False))).eval()
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
    with pytest.raises(ValueError, match="has 4 time steps"):
        interop.as_layer(norm)(x)
    with pytest.raises(ValueError, match="has 4 time steps"):
        interop.as_layer(norm, time_first=True)(x)
    step = interop.as_step(norm)
    with pytest.raises(ValueError, match=r"bring the count to 5: call bntt.interop.reset\(network\) .*loop=\"inside\""):
        [step(now) for now in x]
    interop.reset(nn.Sequential(nn.Sequential(step)))
    assert step(x[0]).shape == x[0].shape
    with pytest.raises(ValueError, match="begin every batch with state=None"):
        interop.as_cell(norm, sequence=True)(x)
    with pytest.raises(IndexError, match=r"has 4 time steps \(0-3\), got t=4"):
        norm[T]
    assert len(list(norm)) == len(norm) == T


def test_a_layer_refuses_samples_before_time(rng):
    norm = bntt.BNTT(3, num_steps=T)
    norm.path = "bn"
    for batch in (1, 2, T + 1):
        with pytest.raises(ValueError, match=rf"'bn' has 4 time steps.* \[{batch}, 4, 3, 2, 2\] begins with {batch}: "):
            interop.as_layer(norm)(torch.randn(batch, T, 3, 2, 2, generator=rng))
    square = torch.randn(T, T, 3, 2, 2, generator=rng)
    layer = interop.as_layer(norm)
    for _ in range(2):
        with pytest.raises(ValueError, match="begins with 4 and 4: time or samples may be first"):
            layer(square)
    expected = norm(square, Call())[0]
    layer(drive(rng))
    assert torch.equal(layer(square), expected)  # such as the last batch of an epoch
    with pytest.raises(ValueError, match="begins with 2"):
        layer(square[:2])
    told = interop.as_layer(norm, time_first=True)
    assert torch.equal(told(square), expected)
    assert torch.equal(told(square[:2]), expected[:2])
    assert interop.as_layer(bntt.LayerNorm(3))(square[:2]).shape == (2, T, 3, 2, 2)


def test_norms_that_look_ahead_refuse_to_train_a_step_at_a_time(rng):
    norm, x = made("tebn", rng), drive(rng)
    for one in (interop.as_step(norm), norm[0], interop.as_cell(norm)):
        with pytest.raises(ValueError, match="statistics over all time steps"):
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
    with pytest.raises(ValueError, match="bring the count to 5"):
        copied(drive(rng)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_half(dtype, rng):
    norm, x = made("bntt", rng).eval(), drive(rng).to(dtype)
    expected = norm(x.float())[0].to(dtype)
    step, cell = interop.as_step(norm), interop.as_cell(norm, sequence=True)
    for y in (interop.as_layer(norm)(x), torch.stack([step(now) for now in x]), cell(x)[0]):
        assert y.dtype == dtype
        assert torch.equal(y, expected)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)).eval().to(dtype)
    before = net(x := torch.randn(3, 4, generator=rng).to(dtype))
    assert torch.allclose(interop.replace_batchnorm(net, num_steps=T)(x), before, atol=0.05)


def test_counts_of_events_are_not_cut_to_integers(rng, no_hook):
    norm, x = made("bntt", rng).eval(), (2 * drive(rng)).to(torch.int64)
    expected, _ = norm(x, Call(), None)
    step, cell = interop.as_step(norm), interop.as_cell(norm, sequence=True)
    for y in (interop.as_layer(norm)(x), torch.stack([step(now) for now in x]), cell(x)[0]):
        assert torch.equal(y, expected)


def test_names_of_norms_are_types(rng):
    norm = bntt.BNTT(3, num_steps=T)
    assert isinstance(norm, bntt.BNTT)
    assert isinstance(norm, TemporalNorm)
    assert not isinstance(norm, bntt.TAB | bntt.LayerNorm)
    assert isinstance(bntt.models.vgg6(num_steps=2, width=0.25).blocks["conv1"].norm, bntt.BNTT)
    assert {type(NORMS[name](3, T, 1.0)).__name__ for name in FAMILY} == {
        *("BNTT", "ScaledBNTT", "TDBN", "TEBN", "TAB", "BetaBNTT", "SharedBN", "PooledBN"),
        *("SharedGammaBNTT", "SharedStatisticsBNTT", "SharedBothBNTT"),
    }
    assert isinstance(copy.deepcopy(norm), bntt.BNTT)
    assert torch.equal(norm(x := drive(rng), Call())[0], copy.deepcopy(norm)(x, Call())[0])


def test_what_is_no_norm_is_refused(no_hook):
    for make in (interop.as_layer, interop.as_step, interop.as_cell):
        with pytest.raises(TypeError, match="the norm must take"):
            make(nn.BatchNorm2d(3))
    with pytest.raises(TypeError, match="a step's current"):
        interop.as_step(bntt.BNTT(3, num_steps=T))(None)

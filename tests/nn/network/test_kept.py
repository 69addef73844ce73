"""A chain that a network keeps gives the bits of a plan made anew, and is dropped as soon as anything changes."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import bntt
from bntt.engine import synapse as crossover
from bntt.engine.graph import layer
from bntt.engine.synapse import Prepared
from bntt.nn import BNTT, LIF, TAB, BetaBNTT, NoNorm, Readout, ScaledBNTT, SharedBN, SpikingBlock, SpikingNetwork
from bntt.nn.network import advance as kept
from bntt.nn.network import advance as module
from bntt.nn.network.advance import PlanCache
from tests.grids import every_value
from tests.kernels import needs_kernels
from tests.nn.networks import OPTIONS, close, dense, residual, small, spikes_of

T = 6


def with_statistics(net: SpikingNetwork) -> SpikingNetwork:
    """In evaluation, with running statistics that are not where they start."""
    numbers = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=numbers))
    return net.eval()


@torch.no_grad()
def stream(
    net: SpikingNetwork, x: Tensor, state: Any = None, at_once: int = 1, *, forgets: bool = False
) -> tuple[list[Tensor], Any]:
    """Logits, every membrane and the voltage after some steps at a time, and the state.

    Args:
        forgets: whether the network keeps nothing from call to call.
    """
    logits, held = [], net._kept
    for part in torch.split(x, at_once):
        if forgets:
            net._kept = PlanCache()
        some, state = net.advance(part, state)
        logits.append(some)
    net._kept = held
    membranes = [unit.membrane for block in state.blocks for unit in (block if type(block) is tuple else (block,))]
    return [*logits, *(one for one in membranes if one is not None), state.readout], state


def anew(net: SpikingNetwork, x: Tensor, state: Any = None, at_once: int = 1) -> list[Tensor]:
    """What a network gives that keeps nothing."""
    return stream(net, x, state, at_once, forgets=True)[0]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    """To the bit."""
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def used(monkeypatch) -> list[int]:
    """One entry for every call that went through a kept chain."""
    found, real = [], kept._advance

    def advance(*args, **kwargs):
        found.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(kept, "_advance", advance)
    return found


Net = SpikingNetwork

NETS: dict[str, Callable[[], Net]] = {
    **{f"small {i}": lambda neuron=neuron: small(T, **neuron) for i, neuron in enumerate(OPTIONS)},
    **{norm.__name__: lambda norm=norm: small(T, norm=norm) for norm in (TAB, BetaBNTT, ScaledBNTT, SharedBN)},
    "no norm": lambda: small(T, norm=lambda channels, steps: NoNorm()),
    "learned leaks": lambda: small(T, learn_leak=True, decay_input=True),
    "folded": lambda: bntt.nn.fold(small(T)),
    "a flattened image": lambda: flattening(torch.Generator().manual_seed(1)),
}


def flattening(rng: torch.Generator) -> Net:
    layers = [
        SpikingBlock(nn.Sequential(nn.Flatten(), dense(2 * 11 * 11, 40, rng)), BNTT(40, T), LIF()),
        SpikingBlock(dense(40, 40, rng), BNTT(40, T), LIF()),
    ]
    return SpikingNetwork(layers, Readout(dense(40, 3, rng)))


@needs_kernels
@every_value(net=list(NETS), kind=["signed", "bytes", "counts", "one image"], at_once=[1, 2, T], batch=[1, 3])
def test_the_same_bits_as_a_plan_made_anew(net, kind, at_once, batch, rng, used):
    net, x = with_statistics(NETS[net]()), spikes_of(T, batch, rng)
    x = {"bytes": x.to(torch.int8), "counts": x.abs().to(torch.int8), "one image": x[:1].expand_as(x)}.get(kind, x)
    want, whole = anew(net, x, None, at_once), copy.deepcopy(net)(x).detach()
    for _ in range(2):
        got, _ = stream(net, x, None, at_once)
        assert equal(got, want)
        with torch.no_grad():
            assert torch.equal(net(x), whole)
    assert len(used) >= T // at_once


@needs_kernels
def test_samples_that_leave_take_the_chain_of_those_that_were_there(rng, used, monkeypatch):
    """With the spikes of those that stay alone."""
    net, x, begun = with_statistics(small(T)), spikes_of(T, 9, rng), []
    stream(net, x[:2])
    real = module._begin
    monkeypatch.setattr(module, "_begin", lambda *args: begun.append(1) or real(*args))
    there, state, measure = torch.arange(9), None, bntt.nn.Measure(spikes=True)
    for t in range(T):
        some = x[t : t + 1, there]
        with torch.no_grad():
            logits, after = net.advance(some, state, measure=measure)
            wanted, other = copy.deepcopy(net).advance(some, state, measure=measure)
        assert torch.equal(logits, wanted)
        assert all(torch.equal(a.spikes, other.measured[name].spikes) for name, a in after.measured.items())
        keep = torch.arange(len(there)) % 3 != t % 3
        state, there = after.rows(keep), there[keep]
    assert (len(used), begun) == (T + 1, [])


@needs_kernels
@torch.no_grad()
def test_a_state_that_nobody_needs_is_advanced_where_it_lies(rng, used):
    """Any other stays as it was."""
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    want, (_, state) = anew(net, x), stream(net, x[:2])
    for in_place in (False, True):
        given, before = [unit.membrane for unit in state.blocks], [unit.membrane.clone() for unit in state.blocks]
        _, after = net.advance(x[2:3], state, in_place=in_place)
        assert all(map(torch.equal, given, before)) != in_place
        assert all(a is not b.membrane for a, b in zip(given, after.blocks, strict=True))
        places = [unit.membrane.data_ptr() for unit in after.blocks]
        assert (places == [one.data_ptr() for one in given]) == in_place
    assert equal(stream(net, x[3:], after)[0][-5:], want[-5:])
    assert len(used) >= T


@needs_kernels
def test_steps_that_go_a_few_at_a_time_do_so_here_too(rng, used, monkeypatch):
    """As many as fit together of so many samples; what is counted is of all of them."""
    monkeypatch.setattr(layer, "CHUNK_BYTES", 200_000)
    net, x = with_statistics(small(T)), spikes_of(T, 9, rng)
    for samples in (9, 9, 4, 9, 1, 5):
        some, measure = x[:, :samples], bntt.nn.Measure(spikes=True)
        assert equal(stream(net, some, None, T)[0], anew(net, some, None, T))
        with torch.no_grad():
            assert torch.equal(net(some), copy.deepcopy(net)(some))
            after, other = (one.advance(some, measure=measure)[1] for one in (net, copy.deepcopy(net)))
        assert all(torch.equal(a.spikes, other.measured[name].spikes) for name, a in after.measured.items())
    ready = net._kept._held.ready[(T, x.shape[2:], x.dtype)]
    steps = [layer.CHUNK_BYTES // (4 * ready._each * samples) for samples in (9, 4)]
    assert 1 <= steps[0] < steps[1] < T
    assert len(used) >= 3 * 5


@needs_kernels
def test_what_the_process_chose_is_taken(rng, used, monkeypatch):
    monkeypatch.setattr(crossover, "_measure", lambda *args, backward: 0.3)
    monkeypatch.setattr(crossover, "_MEASURED", {})
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert equal(stream(net, x[:3])[0], anew(net, x[:3]))
    assert len(used) >= 4 * 2, "all but the first of three calls by each rule"


@needs_kernels
def test_no_input_is_held_until_the_next_call(rng):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    for _ in range(3):
        stream(net, x)
    ready = [*net._kept._held.ready.values()]
    assert ready
    assert all(one._links[0].source.values.is_meta for one in ready)


@needs_kernels
def test_a_copy_has_none_and_a_network_not_many(rng, used, monkeypatch):
    net, x = with_statistics(small(T)), spikes_of(T, 12, rng)
    stream(net, x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other._kept._held is None
        assert equal(stream(other, x)[0], anew(net, x))
    monkeypatch.setattr(module, "MOST_SHAPES", 2)
    for steps in (1, 2, 3, 2):
        assert equal(stream(net, x, None, steps)[0], anew(net, x, None, steps))
    assert len(net._kept._held.ready) == 2
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 12)
    net = with_statistics(small(T))
    used.clear()
    assert equal(stream(net, x)[0], anew(net, x))
    assert not used


@needs_kernels
@pytest.mark.parametrize(
    "net", [lambda: residual("before", T), lambda: small(T, norm=lambda c, t: bntt.nn.LayerNorm(c))]
)
def test_other_networks_run_as_before(net, rng, used, monkeypatch):
    """They are asked once, whatever the number of samples."""
    begun, real = [], module._begin
    monkeypatch.setattr(module, "_begin", lambda *args: begun.append(1) or real(*args))
    net, x = net().eval(), spikes_of(T, 4, rng)
    for samples in (2, 4, 1):
        some = x[:, :samples]
        assert equal(stream(net, some)[0], anew(net, some))
    assert (used, len(begun)) == ([], 1)


@needs_kernels
def test_a_network_too_large_for_many_samples_is_not_for_few(rng, used, monkeypatch):
    net, x = with_statistics(small(T)), spikes_of(T, 12, rng)
    stream(net, x[:, :3])
    size = net._kept._held.ready[(1, x.shape[2:], x.dtype)].size
    monkeypatch.setattr(module, "MOST_BYTES", 2 * size)
    for samples in (12, 9, 3):
        used.clear()
        assert equal(stream(net, x[:, :samples])[0], anew(net, x[:, :samples]))
        assert bool(used) == (samples == 3)
    monkeypatch.setattr(module._Snapshot, "same_values", lambda self: pytest.fail("compared, for nothing"))
    stream(net, x)


@needs_kernels
def test_parts_with_other_steps_than_their_network(rng, used):
    """Steps that come later are no errors of these."""
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    net.blocks["fc1"].norm, net.compute = BNTT(net.blocks["fc1"].norm.gamma.shape[1], 3).eval(), bntt.Compute("cpu")
    for _ in range(3):
        assert equal(stream(net, x[:3])[0], anew(net, x[:3]))
    block = SpikingBlock(dense(6, 32, rng), NoNorm(), LIF())
    net, x = SpikingNetwork([block], Readout(dense(32, 3, rng))).eval(), torch.randn(4, 2, 6, generator=rng)
    net.blocks["block1"].norm = norm = BNTT(32, 4).eval()
    with torch.no_grad():
        norm.gamma.copy_(torch.arange(4.0)[:, None].expand(4, 32))
    for _ in range(3):
        assert equal(stream(net, x)[0], anew(net, x))


PRODUCTS = (nn.functional.linear, torch.conv2d)


class Halved(TorchFunctionMode):
    """Every product gives half of what it would."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        return out / 2 if function in PRODUCTS else out


class Quiet(Tensor):
    """Weights with a product of their own."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        out = super().__torch_function__(function, types, args, kwargs or {})
        return out.as_subclass(Tensor) / 2 if function in PRODUCTS else out


@contextlib.contextmanager
def patched(kind: type, name: str, value: Any = None) -> Iterator[None]:
    before = getattr(kind, name)
    setattr(kind, name, value or (lambda self, *args: before(self, *args) / 2))
    try:
        yield
    finally:
        setattr(kind, name, before)


class Convolutions(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        return out / 2 if function is torch.ops.aten.convolution.default else out


def halves(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
    return out / 2


def conv2(net: Net) -> nn.Conv2d:
    return net.blocks["conv2"].synapse


def swap(layer: nn.Module, other: Tensor) -> None:
    torch.utils.swap_tensors(layer.weight, nn.Parameter(other))


def set_data(net: Net, value: Tensor) -> None:
    conv2(net).weight.data = value


def told(net: Net) -> None:
    conv2(net).weight.data.mul_(1.5)
    bntt.weights_changed()


def last(net: Net) -> Tensor:
    return net.readout.synapse.weight


def fused_step(net: Net) -> None:
    weight = conv2(net).weight
    weight.grad = torch.ones_like(weight)
    torch.optim.Adam([weight], lr=0.3, fused=True).step()


def neuron(net: Net) -> None:
    lif = net.blocks["conv2"].lif
    lif.neuron = replace(lif.neuron, threshold=0.7)


def only(change: Callable[[Net], object]) -> Callable[[Net], contextlib.AbstractContextManager]:
    def changed(net: Net) -> contextlib.AbstractContextManager:
        with torch.no_grad():
            change(net)
        return contextlib.nullcontext()

    return changed


def own_forward(net: Net) -> None:
    forward = conv2(net).forward
    conv2(net).forward = lambda x: forward(x) / 2


CHANGES: dict[str, Callable[[Net], contextlib.AbstractContextManager]] = {
    "a hook": only(lambda net: conv2(net).register_forward_hook(halves)),
    "a hook of all modules": lambda net: contextlib.closing(Closed(register_module_forward_hook(of_convolutions))),
    "training": only(lambda net: net.train()),
    "a norm in training": only(lambda net: net.blocks["conv2"].norm.train()),
    "autocast": lambda net: torch.autocast("cpu", torch.bfloat16),
    "a function mode": lambda net: Halved(),
    "a dispatch mode": lambda net: Convolutions(),
    "a patched class": lambda net: patched(nn.Linear, "forward"),
    "a patched call": lambda net: patched(nn.AvgPool2d, "__call__"),
    "a patched property": lambda net: patched(LIF, "neuron", property(lambda self: replace(self._start, leak=0.1))),
    "a forward of its own": only(own_forward),
    "in place": only(lambda net: conv2(net).weight.mul_(1.5)),
    "one row of a running mean": only(lambda net: net.blocks["fc1"].norm.running_mean[3:].add_(1)),
    "fused Adam": only(fused_step),
    "values, told": only(told),
    "other data": only(lambda net: set_data(net, conv2(net).weight * 2)),
    "data that lies otherwise": only(lambda net: set_data(net, conv2(net).weight.data.transpose(2, 3))),
    "data with a lazy sign": only(lambda net: set_data(net, torch._neg_view(conv2(net).weight.data))),
    "a subclass at the end": only(lambda net: swap(net.readout.synapse, last(net).detach().as_subclass(Quiet))),
    "a new pool": only(lambda net: setattr(net.blocks["conv1"], "pool", nn.MaxPool2d(2))),
    "a stage of one's own": only(lambda net: setattr(net.blocks["conv2"], "lif", Negative())),
    "other neurons": only(neuron),
    "another epsilon": only(lambda net: setattr(net.blocks["conv2"].norm, "eps", 2.0)),
    "another dilation": only(
        lambda net: (setattr(conv2(net), "dilation", (2, 2)), setattr(conv2(net), "padding", (2, 2)))
    ),
    "another class": only(lambda net: setattr(conv2(net), "__class__", Circular)),
}


class Closed:
    def __init__(self, handle: Any) -> None:
        self.close = handle.remove


def of_convolutions(module: nn.Module, args: Any, out: Any) -> Any:
    return out / 2 if isinstance(module, nn.Conv2d) else None


class Negative(LIF):
    def forward(self, current, call=bntt.nn.Call(), membrane=None):
        return super().forward(-current, call, membrane)


class Circular(nn.Conv2d):
    def forward(self, x):
        return -super().forward(x)


@needs_kernels
@pytest.mark.parametrize("kind", CHANGES)
def test_what_changes_is_noticed_at_once(kind, rng, used):
    """In mid-stream, whatever weights the state has packed, and from rest; with a new chain where there may be one."""
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    net.blocks["fc1"].norm.gamma.data.mul_(2)
    for _ in range(2):
        before, _ = stream(net, x)
    _, state = stream(net, x[:2], forgets=True)  # with packed weights of its own
    assert len(used) >= 2 * T - 2
    used.clear()
    fresh = replace(state, prepared=Prepared())
    with CHANGES[kind](net):
        for number, given in enumerate((state, fresh, state)):
            got, _ = stream(net, x[2:3], given)
            assert number or not used or kind == "a subclass at the end", "the readout is in no chain"
            assert equal(got, anew(net, x[2:3], fresh))
        after, _ = stream(net, x)
        assert equal(after, anew(net, x))
        assert not equal(after, before)
        net.compute = bntt.Compute("reference")
        assert all(map(close, after, stream(net, x)[0])), "as plain PyTorch has it"


@needs_kernels
@pytest.mark.parametrize("compute", [bntt.Compute("reference"), bntt.Compute(events="never")])
def test_another_compute_is_taken_and_gradients_and_float64_take_none(compute, rng, used):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    stream(net, x)
    net.compute = compute
    assert equal(stream(net, x)[0], anew(net, x))
    used.clear()
    assert equal(stream(net, x)[0], anew(net, x))
    assert bool(used) == (compute.backend != "reference")
    used.clear()
    net.advance(x)[0].sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert stream(net.double(), x.double())[0][0].dtype == torch.float64
    assert not used
    assert equal(stream(net.float(), x)[0], anew(net, x))


@needs_kernels
@pytest.mark.parametrize(
    "where", ["blocks.conv2.synapse.weight", "blocks.conv2.norm.gamma", "blocks.fc1.norm.running_mean"]
)
def test_values_that_nobody_told_of_are_seen_at_the_first_step(where, rng, used):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    for _ in range(2):
        before, _ = stream(net, x)
    assert used
    owner, name = where.rsplit(".", 1)
    getattr(net.get_submodule(owner), name).data.add_(0.5)
    with torch.no_grad():
        assert torch.equal(net(x), copy.deepcopy(net)(x))
    got, _ = stream(net, x)
    assert equal(got, anew(net, x))
    assert not equal(got, before)


def gamma(net: Net) -> nn.Parameter:
    return net.blocks["conv2"].norm.gamma


@needs_kernels
@pytest.mark.parametrize("first", ["measured", "with gradients", "under autocast", "of a refused shape"])
def test_they_are_seen_where_the_first_step_takes_no_chain(first, rng, used, monkeypatch):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    monkeypatch.setattr(kept, "MOST_BYTES", 1 << 19)
    many = x.repeat(1, 100, 1, 1, 1)
    for _ in range(2):
        stream(net, x)
        stream(net, many[:1])
    assert used
    gamma(net).data.mul_(0.1)
    surrounding = {"with gradients": torch.enable_grad(), "under autocast": torch.autocast("cpu", torch.bfloat16)}
    begins = many if first == "of a refused shape" else x
    measure = bntt.nn.Measure(spikes=first == "measured")
    with torch.no_grad(), surrounding.get(first, contextlib.nullcontext()):
        _, state, *_ = net.advance(begins[:1], measure=measure)
    state = state.detach().rows(torch.arange(3)) if begins is many else state.detach()
    assert equal(stream(net, x[1:], state)[0], anew(net, x[1:], state))


@needs_kernels
def test_what_replaces_the_same_storage_twice_has_another_address(rng, used):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    for _ in range(3):
        _, state = stream(net, x[:1])
        stream(net, x[1:2], state)
    assert used
    at = gamma(net).data_ptr()
    for _ in range(200):
        gamma(net).data = gamma(net).data * 0.99
        if gamma(net).data_ptr() == at:  # of what was given back
            break
    assert equal(stream(net, x[1:2], state)[0], anew(net, x[1:2], state))


@needs_kernels
def test_values_that_came_and_went_leave_no_chain_of_theirs(rng, used):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    for _ in range(3):
        stream(net, x)
    assert used
    before = gamma(net).data.clone()
    _, state = stream(net, x[:1])
    gamma(net).data.mul_(3)
    stream(net, x[1:2, :2], state.rows(torch.tensor([0, 1])))
    gamma(net).data.copy_(before)
    for _ in range(2):
        assert equal(stream(net, x[:, :2])[0], anew(net, x[:, :2]))

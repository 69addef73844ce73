"""A chain that a network keeps is dropped as soon as anything changes that it was made of, or that surrounds a call."""

from __future__ import annotations

import contextlib
import copy
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
from bntt.engine.synapse import Prepared
from bntt.nn import LIF, SpikingNetwork
from bntt.nn.network import advance as kept
from tests.kernels import needs_kernels
from tests.nn.network.streaming import T, anew, equal, stream, with_statistics
from tests.nn.networks import close, small, spikes_of

pytestmark = needs_kernels
Net = SpikingNetwork


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


def put(net: Net, name: str, value: Tensor) -> None:
    setattr(conv2(net), name, nn.Parameter(value))


def swap(layer: nn.Module, other: Tensor) -> None:
    torch.utils.swap_tensors(layer.weight, nn.Parameter(other))


def set_data(net: Net, value: Tensor) -> None:
    conv2(net).weight.data = value


def told(net: Net) -> None:
    conv2(net).weight.data.mul_(1.5)
    bntt.weights_changed()


def last(net: Net) -> Tensor:
    return net.readout.synapse.weight


def step(net: Net, kind: type[torch.optim.Optimizer], **options: bool) -> None:
    weight = conv2(net).weight
    weight.grad = torch.ones_like(weight)
    kind([weight], lr=0.3, **options).step()


def neuron(net: Net) -> None:
    lif = net.blocks["conv2"].lif
    lif.neuron = replace(lif.neuron, threshold=0.7)


def only(change: Callable[[Net], object]) -> Callable[[Net], contextlib.AbstractContextManager]:
    def changed(net: Net) -> contextlib.AbstractContextManager:
        with torch.no_grad():
            change(net)
        return contextlib.nullcontext()

    return changed


def doubled(block: nn.Module) -> nn.Module:
    new = copy.deepcopy(block)
    new.synapse.weight.mul_(2)
    return new


def own_forward(net: Net) -> None:
    forward = conv2(net).forward
    conv2(net).forward = lambda x: forward(x) / 2


CHANGES: dict[str, Callable[[Net], contextlib.AbstractContextManager]] = {
    "a hook": only(lambda net: conv2(net).register_forward_hook(halves)),
    "a hook before": only(
        lambda net: net.blocks["conv2"].norm.register_forward_pre_hook(lambda m, a: (a[0] / 2, *a[1:]))
    ),
    "a hook of all modules": lambda net: contextlib.closing(Closed(register_module_forward_hook(of_convolutions))),
    "training": only(lambda net: net.train()),
    "a norm in training": only(lambda net: net.blocks["conv2"].norm.train()),
    "autocast": lambda net: torch.autocast("cpu", torch.bfloat16),
    "a function mode": lambda net: Halved(),
    "a dispatch mode": lambda net: Convolutions(),
    "a patched class": lambda net: patched(nn.Linear, "forward"),
    "a patched convolution": lambda net: patched(nn.Conv2d, "_conv_forward"),
    "a patched call": lambda net: patched(nn.AvgPool2d, "__call__"),
    "a patched property": lambda net: patched(LIF, "neuron", property(lambda self: replace(self._start, leak=0.1))),
    "a forward of its own": only(own_forward),
    "in place": only(lambda net: conv2(net).weight.mul_(1.5)),
    "a bias in place": only(lambda net: conv2(net).bias.add_(1)),
    "gamma in place": only(lambda net: net.blocks["conv2"].norm.gamma.mul_(2)),
    "a running variance in place": only(lambda net: net.blocks["conv2"].norm.running_var.mul_(4)),
    "one row of a running mean": only(lambda net: net.blocks["fc1"].norm.running_mean[3:].add_(1)),
    "fused SGD": only(lambda net: step(net, torch.optim.SGD, fused=True)),
    "fused Adam": only(lambda net: step(net, torch.optim.Adam, fused=True)),
    "SGD by loops": only(lambda net: step(net, torch.optim.SGD, foreach=False)),
    "values, told": only(told),
    "other data": only(lambda net: set_data(net, conv2(net).weight * 2)),
    "data that lies otherwise": only(lambda net: set_data(net, conv2(net).weight.data.transpose(2, 3))),
    "data with a lazy sign": only(lambda net: set_data(net, torch._neg_view(conv2(net).weight.data))),
    "swapped": only(lambda net: swap(conv2(net), conv2(net).weight * 2)),
    "a subclass": only(lambda net: swap(conv2(net), conv2(net).weight.detach().as_subclass(Quiet))),
    "a subclass at the end": only(lambda net: swap(net.readout.synapse, last(net).detach().as_subclass(Quiet))),
    "a new parameter": only(lambda net: put(net, "weight", conv2(net).weight * 2)),
    "a new bias": only(lambda net: put(net, "bias", conv2(net).bias + 1)),
    "no bias": only(lambda net: setattr(conv2(net), "bias", None)),
    "a state dict": only(
        lambda net: net.load_state_dict({k: v * 1.5 for k, v in net.state_dict().items()}, assign=True)
    ),
    "a new pool": only(lambda net: setattr(net.blocks["conv1"], "pool", nn.MaxPool2d(2))),
    "a new block": only(lambda net: net.blocks.update({"conv2": doubled(net.blocks["conv2"])})),
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


@pytest.mark.parametrize("compute", [bntt.Compute("reference"), bntt.Compute(events="never")])
def test_another_compute_is_taken(compute, rng, used):
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
    assert not used, "gradients are not kept away"


def test_another_dtype_is_taken(rng, used):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    stream(net, x)
    used.clear()
    got, _ = stream(net.double(), x.double())
    assert got[0].dtype == torch.float64
    assert not used
    assert equal(stream(net.float(), x)[0], anew(net, x))


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

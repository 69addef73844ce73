"""The borders of the fused path: what it may not take for granted gives the numbers of plain PyTorch, or its error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import bntt
from tests.grids import every_value
from tests.kernels import needs_kernels
from tests.nn.networks import close, pair, same_everywhere, small, spikes_of

pytestmark = needs_kernels


@contextlib.contextmanager
def by_default(set_default: Callable[[Any], None], value: Any, before: Any) -> Iterator[None]:
    set_default(value)
    try:
        yield
    finally:
        set_default(before)


SURROUNDINGS: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
    **{
        f"{dtype} by default": lambda dtype=dtype: by_default(torch.set_default_dtype, dtype, torch.float32)
        for dtype in (torch.float64, torch.bfloat16, torch.float16)
    },
    "the meta device": lambda: torch.device("meta"),
    "the processor": lambda: torch.device("cpu"),
    "meta by default": lambda: by_default(torch.set_default_device, "meta", None),
}


@every_value(where=SURROUNDINGS, norm=[bntt.BNTT, bntt.TAB, bntt.TDBN])
def test_what_new_tensors_are_by_default_changes_nothing(where, norm, rng):
    x, weights = spikes_of(5, 3, rng), torch.arange(1.0, 5.0)
    ours, theirs = pair(small(5, norm=norm))
    want = theirs(x)
    (want * weights).square().sum().backward()
    with SURROUNDINGS[where]():
        got = ours(x)
        (got * weights).square().sum().backward()
        assert not ours.plan(x.shape).reason
    assert got.dtype == torch.float32
    assert close(got, want)
    same_everywhere(ours, theirs)
    with SURROUNDINGS[where]():
        logits, _ = ours.eval().advance(x[:2])
        trace = ours.trace(x)
    assert close(logits, theirs.eval().advance(x[:2])[0])
    assert close(trace.logits[-1], theirs(x))


class Halved(TorchFunctionMode):
    """Every linear layer gives half of what it would."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        return out / 2 if function is nn.functional.linear else out


class Quiet(Tensor):
    """Weights with a product of their own."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        out = super().__torch_function__(function, types, args, kwargs or {})
        return out.as_subclass(Tensor) / 2 if function is nn.functional.linear else out


@contextlib.contextmanager
def patched(kind: type[nn.Module], name: str) -> Iterator[None]:
    before = getattr(kind, name)
    setattr(kind, name, lambda self, *args: before(self, *args) / 2)
    try:
        yield
    finally:
        setattr(kind, name, before)


OVERRIDES: dict[str, tuple[Callable[[], contextlib.AbstractContextManager], str]] = {
    "a mode": (Halved, "mode"),
    "a patched class": (lambda: patched(nn.Linear, "forward"), "Linear"),
    "a patched convolution": (lambda: patched(nn.Conv2d, "_conv_forward"), "Conv2d"),
    "a patched call": (lambda: patched(nn.AvgPool2d, "__call__"), "AvgPool2d"),
}


@pytest.mark.parametrize("kind", OVERRIDES)
def test_what_stands_between_is_not_passed_by(kind, rng):
    ours, theirs = pair(small(5).eval())
    ours.compute = bntt.Compute()
    x, (surround, reason) = spikes_of(5, 3, rng), OVERRIDES[kind]
    before = ours(x)
    with surround():
        got, want = ours(x), theirs(x)
        assert reason in ours.plan(x.shape).reason
    assert close(got, want)
    assert not close(got, before)
    assert close(ours(x), before)
    assert not ours.plan(x.shape).reason


@pytest.mark.parametrize("where", ["blocks.fc1.synapse", "readout.synapse"])
def test_weights_of_a_subclass_apply_themselves(where, rng):
    ours, theirs = pair(small(5).eval())
    ours.compute = bntt.Compute()
    x, before = spikes_of(5, 3, rng), None
    for net in (ours, theirs):
        layer = net.get_submodule(where)
        before = net(x)
        layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Quiet))
    assert close(ours(x), theirs(x))
    assert not close(ours(x), before)

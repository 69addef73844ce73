"""What new tensors are by default, by type or device, changes nothing on the fused path."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

import bntt
from tests.grids import every_value
from tests.kernels import needs_kernels
from tests.nn.networks import close, loss_of, pair, same_everywhere, small, spikes_of

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
    x = spikes_of(5, 3, rng)
    ours, theirs = pair(small(5, norm=norm))
    want = theirs(x)
    loss_of(want).backward()
    with SURROUNDINGS[where]():
        got = ours(x)
        got.backward(2 * want.detach() * torch.arange(1.0, 5.0, dtype=torch.float32, device="cpu").square())
        assert not ours.plan(x.shape).reason
    assert got.dtype == torch.float32
    assert close(got, want)
    same_everywhere(ours, theirs)
    with SURROUNDINGS[where]():
        logits, _ = ours.eval().advance(x[:2])
        trace = ours.trace(x)
    assert close(logits, theirs.eval().advance(x[:2])[0])
    assert close(trace.logits[-1], theirs(x))

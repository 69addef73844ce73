"""What a state trusts between calls: tied weights, parameters that change, threads that share it, other modes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from bntt.engine.cpu.library import LIBRARY
from bntt.nn.norms import TemporalNorm
from tests.fuzz.borders.parameters import numbers, weighted
from tests.fuzz.dice import Dice
from tests.fuzz.uses import Job

THREADS = 4


@contextmanager
def tied(job: Job, dice: Dice) -> Iterator[None]:
    """Layers that share one Parameter, each with a bias of its own."""
    first, *others = [one for name, one in weighted(job.net).items() if name.startswith("blocks")]
    for other in others:
        other.weight = first.weight
    yield


def stream(job: Job) -> None:
    """Some steps at a time, without gradients, in evaluation."""
    job.net.eval()
    _stream(job, lambda: None)


def stream_while_it_changes(job: Job) -> None:
    """And between two calls something changes."""
    job.net.eval()
    with torch.no_grad():
        for p in job.net.parameters():
            p.requires_grad_()

    def change() -> None:
        way = job.dice.pick(list(CHANGES), list(CHANGES.values()))
        job.notes.append(way.__name__)
        way(job)

    _stream(job, change)


def _stream(job: Job, between: Callable[[], None]) -> None:
    x, state, first = job.given(), None, 0
    again = job.dice.integer(1, 2)
    while first < len(x):
        last = min(len(x), first + again)
        before = state
        for call in ("first", "second", "third"):  # which a chain of the second may answer
            with torch.no_grad():
                logits, state = job.net.advance(x[first:last], before)
            for t, logit in enumerate(logits, start=first):
                job.record[f"logits after {t}, {call} call"] = logit
        first = last
        between()


def _layer(job: Job) -> nn.Linear | nn.Conv2d:
    """One of a block; seldom the readout's."""
    *blocks, readout = weighted(job.net).values()
    return readout if job.dice.chance(0.1) else job.dice.pick(blocks)


def new_bias(job: Job) -> None:
    layer = _layer(job)
    layer.bias = nn.Parameter(numbers(job.dice, layer.weight, len(layer.weight)))


def no_bias(job: Job) -> None:
    _layer(job).bias = None


def new_weight(job: Job) -> None:
    layer = _layer(job)
    layer.weight = nn.Parameter(numbers(job.dice, layer.weight, *layer.weight.shape))


@torch.no_grad()
def in_place(job: Job) -> None:
    for p in _layer(job).parameters():
        p.mul_(-0.7)


def swapped(job: Job) -> None:
    layer = _layer(job)
    torch.utils.swap_tensors(layer.weight, nn.Parameter(numbers(job.dice, layer.weight, *layer.weight.shape)))


def stepped(job: Job) -> None:
    """By an optimizer, in each of the ways that PyTorch has."""
    how = job.dice.pick(({"fused": True}, {"fused": True}, {"foreach": True}, {"foreach": False}))
    kind = job.dice.pick((torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW))
    job.notes.append(f"{kind.__name__} {how}")
    floats = [p for p in job.net.parameters() if p.is_floating_point()]
    for p in floats:
        p.grad = numbers(job.dice, p, *p.shape)
    kind(floats, lr=0.3, **how).step()
    for p in floats:
        p.grad = None


@torch.no_grad()
def other_statistics(job: Job) -> None:
    """Of one norm, and its gain."""
    norms = [one for one in job.net.modules() if isinstance(one, TemporalNorm)]
    if norms:
        norm = job.dice.pick(norms)
        for table in (norm.gamma, norm.running_mean, norm.running_var):
            table.mul_(1.3)


def hooked(job: Job) -> None:
    """A layer whose output a hook changes from here on."""
    _layer(job).register_forward_hook(lambda layer, args, out: out * 0.8)


def loaded(job: Job) -> None:
    kept = {
        name: numbers(job.dice, value, *value.shape) if name.endswith((".weight", ".bias")) else value.clone()
        for name, value in job.net.state_dict().items()
    }
    job.net.load_state_dict(kept, assign=job.dice.chance(0.4))


CHANGES: dict[Callable[[Job], None], float] = {
    new_bias: 3,
    no_bias: 1,
    new_weight: 1,
    in_place: 1,
    swapped: 1,
    other_statistics: 2,
    hooked: 0.3,
    stepped: 4,
    loaded: 1,
}
"""How often each."""


@contextmanager
def slow_packing(job: Job, dice: Dice) -> Iterator[None]:
    """Threads that wait while weights are packed, so that others may find them half made."""
    if not job.ours or LIBRARY is None:
        yield
        return
    pack, interval = LIBRARY.bntt_pack, sys.getswitchinterval()

    def slowly(*arguments: Any) -> int:
        time.sleep(0.0005)
        done: int = pack(*arguments)
        return done

    sys.setswitchinterval(1e-6)
    try:
        with patch.object(LIBRARY, "bntt_pack", slowly):
            yield
    finally:
        sys.setswitchinterval(interval)


def share_a_state(job: Job) -> None:
    """Threads that go on from one state at once, whose weights are packed or have just changed."""
    job.net.eval()
    x, state = job.given(), None
    with torch.no_grad():
        if len(x) > 1:
            job.record["logits before"], state = job.net.advance(x[:1], state)
            x = x[1:]
        if job.dice.chance(0.8):
            for layer in weighted(job.net).values():
                layer.weight.mul_(-0.7)
    together = Barrier(THREADS if job.ours else 1)

    def go_on(number: int) -> Tensor:
        together.wait(20)
        with torch.no_grad():
            return job.net.advance(x, state)[0]

    with ThreadPoolExecutor(THREADS) if job.ours else ThreadPoolExecutor(1) as pool:
        found = list(pool.map(go_on, range(THREADS)))
    for number, logits in enumerate(found):
        job.record[f"logits of thread {number}"] = logits


def after_inference(job: Job) -> None:
    """A state made in inference mode goes on outside of it, with gradients or without."""
    job.net.eval()
    x = job.given()
    inside = max(1, len(x) - 1)
    with torch.inference_mode(job.ours):
        job.record["logits inside"], state = job.net.advance(x[:inside].detach())
    if inside == len(x):
        return
    learns = job.dice.chance(0.6)
    with torch.set_grad_enabled(learns):
        logits, state = job.net.advance(x[inside:], state if job.ours else state.detach())
        loss = job.loss(logits[-1])
    if learns and loss.requires_grad:
        loss.backward()


def learn_in_parts(job: Job) -> None:
    """Each part's gradient stops at the state that it began from; sometimes two parts are one."""
    x, state, first = job.given(), None, 0
    while first < len(x):
        last = first + job.dice.integer(1, max(1, len(x) // 2))
        logits, after = job.net.advance(x[first:last], state)
        job.loss(logits[-1]).backward(retain_graph=True)
        state, first = after.detach(), last

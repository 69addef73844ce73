"""What surrounds a pass: choices, chunks, threads, memory full of NaN; what somebody has changed in PyTorch itself."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bntt.engine import synapse as crossover
from bntt.engine import winograd
from bntt.engine.cpu import library
from bntt.engine.graph import layer
from bntt.engine.graph import stack as spans
from bntt.engine.kernels import has_bf16
from bntt.nn import LIF, Compute, Readout, SpikingBlock, SpikingNetwork
from bntt.nn.norms import TemporalNorm
from tests.fuzz.changes import WEIGHED
from tests.fuzz.networks import Dice, weighted
from tests.fuzz.uses import Job, sometimes_plain
from tests.kernels import poisoned

VARIANTS = library.variants()


@dataclass(frozen=True)
class Conditions:
    """Of one case; the plain path takes of them what concerns it."""

    events: str
    recompute: str | int
    precision: str
    deterministic: bool
    threads: int
    variant: str
    chunk_bytes: int
    small: int
    """Buffers of fewer bytes are not kept: 1 lets small networks share buffers as large ones do."""
    crossover: tuple[float, float] | None
    """What is measured of every layer; None measures."""
    memory: float
    """Bytes that ``recompute="auto"`` finds free."""


def draw_conditions(dice: Dice) -> Conditions:
    return Conditions(
        events=dice.pick(("measured", "fixed", "never"), (3, 2, 1)),
        recompute=dice.pick(("auto", "never", 1, 2), (3, 1, 1, 2)),
        precision=dice.pick(("fp32", "bf16-grad", "bf16"), (1, 0.02, 0.02)) if has_bf16() else "fp32",
        deterministic=dice.chance(0.4),
        threads=2 if dice.chance(0.02) else 1,
        variant=dice.pick(VARIANTS),
        chunk_bytes=dice.pick((1, 3000, 16 << 20), (1, 1, 2)),
        small=dice.pick((1, 1 << 16), (3, 1)),
        crossover=None if dice.chance(0.002) else tuple(dice.pick((0.0, 0.3, 2.0), (1, 1, 2)) for _ in range(2)),
        memory=dice.pick((math.inf, 0.0)),
    )


@contextmanager
def holding(conditions: Conditions, *, fused: bool) -> Iterator[None]:
    """Conditions as drawn; the fused path's memory is poisoned beside."""
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(conditions.deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = conditions.deterministic
    if conditions.threads != threads:
        torch.set_num_threads(conditions.threads)
    try:
        with ExitStack() as stack:
            if fused:
                for one in _fused(conditions):
                    stack.enter_context(one)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.utils.deterministic.fill_uninitialized_memory = before[1]
        if conditions.threads != threads:
            torch.set_num_threads(threads)


def _fused(conditions: Conditions) -> Iterator[Any]:
    found = conditions.crossover
    if found is not None:
        yield patch.object(crossover, "_measure", lambda *args, backward: found[backward])
    yield patch.object(layer, "CHUNK_BYTES", conditions.chunk_bytes)
    yield patch.multiple(winograd, LEAST_TILES=1, MOST_WASTE=math.inf)
    yield patch.object(spans, "available_memory", lambda device: conditions.memory)
    yield _variant(conditions.variant)
    yield poisoned(conditions.small)


@contextmanager
def _variant(name: str) -> Iterator[None]:
    before = library.use_variant()
    library.use_variant(name)
    crossover._MEASURED.clear()
    try:
        yield
    finally:
        crossover._MEASURED.clear()
        library.use_variant(before)


def choose(net: SpikingNetwork, backend: str, events: str, recompute: str | int, precision: str) -> None:
    """Set all four choices; plain PyTorch has nothing to compute again."""
    recompute = "never" if backend == "reference" else recompute
    net.compute = Compute(backend=backend, events=events, recompute=recompute, precision=precision)


FLOATS = (torch.float64, torch.bfloat16, torch.float16)


@contextmanager
def default_dtype(job: Job, dice: Dice) -> Iterator[None]:
    """The standard has PyTorch's own."""
    sometimes_plain(job, dice)
    before, chosen = torch.get_default_dtype(), dice.pick(FLOATS)
    job.notes.append(f"default dtype {chosen}")
    if job.ours:
        torch.set_default_dtype(chosen)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(job: Job, dice: Dice) -> Iterator[None]:
    """The standard has PyTorch's own."""
    way, device = dice.pick(("with", "set")), torch.device(dice.pick(("meta", "cpu"), (3, 1)))
    job.notes.append(f"{way} device {device}")
    if way == "set" and job.ours:
        torch.set_default_device(device)
    try:
        with device if way == "with" and job.ours else nullcontext():
            yield
    finally:
        torch.set_default_device(None)


LEAKS = (0.0, 0.0, 1e-30, 1e-38, 1e-42, 1.0, 0.5)
LOGITS = (-50.0, -88.0, -104.0, -200.0, float("-inf"), 20.0, 0.3)


def _neurons(job: Job) -> list[tuple[LIF, int]]:
    """Each with its number of channels."""
    return [(block.lif, len(next(block.synapse.parameters()))) for block in job.net.blocks.values()]


@contextmanager
def extreme_leaks(job: Job, dice: Dice) -> Iterator[None]:
    """Of a layer or of every channel, as λ itself or as its logit."""
    dtype = torch.float64 if job.double else torch.float32
    for lif, channels in _neurons(job):
        logit, shape = dice.chance(0.5), dice.pick(((), (channels,)))
        values = [dice.pick(LOGITS if logit else LEAKS) for _ in range(channels if shape else 1)]
        value = torch.tensor(values, dtype=dtype).reshape(shape)
        job.notes.append(f"{'logits' if logit else 'leaks'} {values}")
        if logit:
            lif.leak_logit = nn.Parameter(value)
        else:
            lif.leak_logit = None
            job.leaves.append(value.requires_grad_())
            lif.neuron = replace(lif.neuron, leak=value)
    yield


@contextmanager
def learned_thresholds(job: Job, dice: Dice) -> Iterator[None]:
    """As a leaf of the layer's neurons."""
    dtype = torch.float64 if job.double else torch.float32
    for lif, _ in _neurons(job):
        if dice.chance(0.7):
            theta: Tensor = torch.tensor(lif.neuron.threshold, dtype=dtype)
            theta = nn.Parameter(theta) if dice.chance(0.5) else theta.requires_grad_()
            job.leaves.append(theta)
            lif.neuron = replace(lif.neuron, threshold=theta)  # type: ignore[arg-type]
    yield


Change = Callable[[Tensor], Tensor]
CHANGES: dict[str, Change] = {
    "halved": lambda out: out * 0.5,
    "without sign": lambda out: out.abs(),
    "none": lambda out: out,
}
CLASSES: tuple[type[nn.Module], ...] = (*[nn.Linear] * 2, *[nn.Conv2d] * 2, nn.AvgPool2d, nn.MaxPool2d, nn.Flatten)
OURS: tuple[type[nn.Module], ...] = (LIF, Readout, SpikingBlock, TemporalNorm)


class _Changing:
    """Changes what convolutions and linear layers give, and counts them."""

    of: tuple[Any, ...]

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change, self.seen = change, 0

    def give(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in self.of:
            return out
        self.seen += 1
        return self.change(out)


class Functions(_Changing, TorchFunctionMode):
    of = WEIGHED
    __torch_function__ = _Changing.give


class Operations(_Changing, TorchDispatchMode):
    """One floor below."""

    of = (torch.ops.aten.convolution.default, torch.ops.aten.addmm.default)
    __torch_dispatch__ = _Changing.give


def _in_mode(kind: Callable[[Change], Any]) -> Any:
    @contextmanager
    def around(job: Job, dice: Dice) -> Iterator[None]:
        name = dice.pick(list(CHANGES))
        job.notes.append(f"{kind.__name__}: {name}")
        with kind(CHANGES[name]) as mode:
            yield
        job.record["trace of how many it saw"] = mode.seen

    return around


function_mode, dispatch_mode = _in_mode(Functions), _in_mode(Operations)


@contextmanager
def patched(job: Job, dice: Dice) -> Iterator[None]:
    """The forward pass of a class, for all of its instances, or of a layer alone."""
    name, change = dice.pick([(name, change) for name, change in CHANGES.items() if name != "none"])
    form = dice.pick(("class", "ours", "instance"), (3, 1, 1))
    if form == "instance":
        where, layer = dice.pick(list(weighted(job.net).items()))
        forward = layer.forward
        job.notes.append(f"{where}.forward {name}")
        layer.forward = lambda *args: change(forward(*args))  # type: ignore[method-assign]
        yield
        return
    kind = dice.pick(CLASSES if form == "class" else OURS)
    method = "_conv_forward" if kind is nn.Conv2d and dice.chance(0.3) else "forward"
    job.notes.append(f"{kind.__name__}.{method} {name}")
    real = getattr(kind, method)

    def forward(self: nn.Module, *args: Any) -> Any:
        out = real(self, *args)
        return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

    with patch.object(kind, method, forward):
        yield


@contextmanager
def slow_packing(job: Job, dice: Dice) -> Iterator[None]:
    """Threads that wait while weights are packed, so that others may find them half made."""
    if not job.ours or library.LIBRARY is None:
        yield
        return
    pack, interval = library.LIBRARY.bntt_pack, sys.getswitchinterval()

    def slowly(*arguments: Any) -> int:
        time.sleep(0.0005)
        done: int = pack(*arguments)
        return done

    sys.setswitchinterval(1e-6)
    try:
        with patch.object(library.LIBRARY, "bntt_pack", slowly):
            yield
    finally:
        sys.setswitchinterval(interval)

"""What surrounds a pass: choices, chunks, threads, instruction sets, memory that is full of NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch

from bntt.engine import synapse as crossover
from bntt.engine import winograd
from bntt.engine.cpu import library
from bntt.engine.graph import layer
from bntt.engine.graph import stack as spans
from bntt.engine.kernels import has_bf16
from bntt.nn import Compute, SpikingNetwork
from tests.fuzz.dice import Dice
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

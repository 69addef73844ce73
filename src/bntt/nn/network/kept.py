"""Chains of layers that a network keeps across calls: planning one step of one sample takes longer than running it.

A call without gradients that measures nothing but spikes, and whose blocks all run fused, one layer after another, is
planned for all steps. The next call of its shape, with as many samples or fewer, reuses the chain if nothing changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from operator import is_
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from bntt.engine.cpu.library import use_variant
from bntt.engine.door import is_plain
from bntt.engine.graph.chain import Chain, is_link, room_of
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import How
from bntt.engine.graph.recording import LayerMeasures
from bntt.engine.graph.stack import Output
from bntt.engine.packed_weights import Prepared, changes_told, version_of
from bntt.engine.private import Made, attributes_of, made_of
from bntt.engine.synapse import Spikes
from bntt.nn.fusion.fuse import entered, layout_of, left, plan_of, why_not_here
from bntt.nn.network.advance import Advanced, measured_of
from bntt.nn.network.call import Call
from bntt.nn.network.measured import Measure, Measured

MOST_BYTES = 64 << 20
"""The most bytes that the buffers of a network's chains may take; for larger ones, planning costs little."""
MOST_WEIGHTS = 8 << 20
"""The most parameters that a network with chains may have: they are copied twice, packed and for comparison."""
MOST_SHAPES = 8
"""Number of call shapes that are kept, whatever the number of samples; beyond it the oldest is dropped."""
FIT = (Measure(), Measure(spikes=True))
"""Measurements that a chain can take."""
FOLDED = "_rules"
"""Attribute of folded neurons whose tables are not read: the module's own are."""


def _advance(
    chain: Chain, x: Tensor, call: Call, how: How, row: int, states: Sequence[Any], *, mean: bool
) -> Advanced | None:
    """Advance by some steps; ``row`` is the tables' row of the first. None if these values need other layers."""
    (first, *_), spikes = entered([*chain.layers], x, how.compute)
    if first is not chain.layers[0]:
        return None
    blocks = list(chain.blocks.values())
    paired = list(zip(blocks, states, strict=True))
    starts = [start for block, state in paired for start in block.enter(state, x.shape[1], call.first)]
    out = Output(len(x), mean)
    ends, counts = chain.run(spikes, row, starts, out.add, in_place=how.in_place)
    after = [block.leave([end], state) for (block, state), end in zip(paired, ends, strict=True)]
    measured: Measured = {}
    if how.measure:
        for (name, block), fired in zip(chain.blocks.items(), counts, strict=True):
            measured |= measured_of(name, block, [LayerMeasures(spikes=fired)], how.measure, after)
    states = tuple(after) if how.goes_on else ()
    return Advanced(left(out.whole(), blocks[-1]), mean, states, measured, kept=True)


@dataclass(frozen=True)
class _Held:
    """The parts of a network at one time, with copies of their values as soon as there is a chain."""

    made: Made
    settings: tuple[object, ...]
    versions: list[tuple[Any, ...]]
    prepared: Prepared = field(default_factory=Prepared)
    values: list[Tensor | None] = field(default_factory=list)
    storages: list[Tensor] = field(default_factory=list)
    """The memory of parameters and buffers: while it is held, a replacement has another address."""
    ready: dict[tuple[object, ...], list[Chain]] = field(default_factory=dict)
    """Chains by the shape of a call's samples; those in use are not in the list, so two threads never share one."""
    refused: dict[tuple[object, ...], int] = field(default_factory=dict)
    """By shape, the number of samples from which on a call cannot have a chain."""

    def is_of(self, made: Made, settings: tuple[object, ...]) -> bool:
        """Return True if nothing has changed."""
        pairs: list[tuple[Sequence[object], Sequence[object]]] = list(zip(self.made, made, strict=True))
        same = all(len(one) == len(other) and all(map(is_, one, other)) for one, other in pairs)
        return self.settings == settings and same and self.versions == list(map(version_of, made.tensors))

    def take(self, key: tuple[object, ...], samples: int) -> Chain | None:
        """Take a free chain for this many samples; no other thread has it then."""
        free = self.ready.get(key, [])
        for ready in free[:]:
            with contextlib.suppress(ValueError):  # another thread was sooner
                free.remove(ready)
                if ready.most >= samples:
                    return ready  # one for fewer samples is dropped: a larger one will replace it
        return None

    def make_room(self, size: int) -> None:
        """Drop the oldest chains until another one of this many bytes fits."""
        while self.ready:
            taken = sum(chain.size for free in list(self.ready.values()) for chain in free)
            if len(self.ready) < MOST_SHAPES and taken + size <= MOST_BYTES:
                return
            with contextlib.suppress(StopIteration, RuntimeError):  # another thread was sooner
                self.ready.pop(next(iter(self.ready)), None)

    def same_values(self) -> bool:
        """Return True if no parameter or buffer has changed, not even by a write that moves no version counter."""
        pairs = zip(self.values, self.made.tensors, strict=True)
        return all(one is None or other is None or torch.equal(one, other) for one, other in pairs)


class Kept:
    """The chains of one network; a copy of the network has none.

    A network's first call, or the first after a change, records its parts; the next one makes a chain. The first call
    of a sequence also compares the values of parameters and buffers, which finds writes through ``.data``.
    """

    def __init__(self) -> None:
        self._held: _Held | None = None
        self._compared = False

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()

    def advance(
        self,
        blocks: nn.ModuleDict,
        num_steps: int | None,
        x: Tensor,
        call: Call,
        how: How,
        states: Sequence[Any],
        *,
        mean: bool,
    ) -> Advanced | None:
        """Advance the blocks as ``advance_blocks`` does; None if no chain is kept for the call."""
        compute, first = how.compute, call.first
        if first == 0:
            self._compared = False  # even if this call cannot use a chain, the next one may
        unfit = compute.backend not in ("auto", "cpu") or compute.precision == "bf16" or how.measure not in FIT
        unfit = unfit or torch.compiler.is_compiling() or torch.is_grad_enabled() or x.numel() * 4 > MOST_BYTES
        if unfit or why_not_here(x, "cpu"):
            return None
        rule = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(), use_variant()
        held = self._of(blocks, (num_steps, compute, changes_told(), *rule))
        key, samples = (len(x), x.shape[2:], x.dtype), x.shape[1]
        if held is None or samples >= held.refused.get(key, samples + 1):
            return None
        free = held.ready.get(key)
        if held.values and not (self._compared and free):
            if not held.same_values():
                self._held = None
                return None
            self._compared = True
        ready = held.take(key, samples)
        if ready is None:
            begun = _begin(blocks, num_steps, x, how, held)
            if isinstance(begun, int):
                if len(held.refused) >= MOST_SHAPES:
                    held.refused.clear()
                held.refused[key] = begun
                return None
            ready = begun
        free = held.ready.setdefault(key, [])
        try:
            return _advance(ready, x, call, how, 0 if num_steps is None else first, states, mean=mean)
        finally:
            free.append(ready)

    def _of(self, blocks: nn.ModuleDict, settings: tuple[object, ...]) -> _Held | None:
        """Return what is held, if the network is still the same."""
        made, held = made_of(blocks), self._held
        if held is not None and made is not None and held.is_of(made, settings):
            return held
        self._held = None
        tensors = () if made is None else [tensor for tensor in made.tensors if tensor is not None]
        if made is not None and all(is_plain(tensor) and not tensor.is_inference() for tensor in tensors):
            self._held = _Held(made, settings, list(map(version_of, made.tensors)))
        return None


def _begin(blocks: nn.ModuleDict, num_steps: int | None, x: Tensor, how: How, held: _Held) -> Chain | int:
    """Make a chain for calls like this one, or return the number of samples from which on none can be made."""
    if not all(name == FOLDED or _is_constant(value) for name, value in attributes_of(blocks)):
        return 1
    with torch.inference_mode(False), torch.no_grad():  # the chain outlives inference mode
        if num_steps is None and any(getattr(module, "num_steps", None) for module in blocks.modules()):
            return 1  # a part with steps that the network was not built with
        every = x[:1].expand(num_steps or len(x), *x.shape[1:])
        plan = plan_of(dict(blocks.items()), every, replace(how.compute, backend="auto", precision="fp32"), Call())
        nodes = [one.node for block in plan.fused.values() for one in block.nodes]
        many = sum(tensor.numel() for tensor in held.made.tensors if tensor is not None) > MOST_WEIGHTS
        if plan.reason or not nodes or not all(map(is_link, nodes)) or many:
            return 1
        height, width, channels = layout_of(x).memory
        shape = (len(x), x.shape[1], height, width, channels)
        like = Spikes(torch.empty(shape, dtype=x.dtype, device=torch.device("meta")))
        if (size := room_of(nodes, like)[2]) > MOST_BYTES:
            return x.shape[1]
        held.make_room(size)
        if not held.values:  # all at once, because other threads read them
            held.storages[:] = [tensor.detach() for tensor in held.made.tensors if tensor is not None]
            held.values[:] = [None if tensor is None else tensor.detach().clone() for tensor in held.made.tensors]
        layers = [node for node in nodes if isinstance(node, Layer)]
        return Chain(plan.fused, layers, like, how.compute, held.prepared)


def _is_constant(value: Any) -> bool:
    """Return True if a value cannot be changed in place, so that it is known by its identity."""
    if value is None or type(value) in (bool, int, float, str, FunctionType):
        return True
    if type(value) is tuple:
        return all(map(_is_constant, value))
    made = getattr(type(value), "__dataclass_params__", None)
    return made is not None and made.frozen and all(_is_constant(getattr(value, one.name)) for one in fields(value))

"""Blocks advanced by some steps: fused where the plan says so, as plain modules elsewhere."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import is_
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bntt.engine.cpu.library import use_variant
from bntt.engine.graph.chain import Chain, is_link, room_of
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import PassContext, Start
from bntt.engine.graph.recording import LayerMeasures
from bntt.engine.graph.rectified import run_rectified
from bntt.engine.graph.stack import Output, run_stack
from bntt.engine.private import Made, attributes_of, fingerprint
from bntt.engine.synapse import Prepared, Spikes, changes_told, version_of
from bntt.engine.workspace import is_plain
from bntt.nn.blocks import SpikingLayer, passed
from bntt.nn.call import Call
from bntt.nn.fuse import FusedBlock, channels_last, entered, layout_of, left, plan_of, why_not_here
from bntt.nn.network.measured import Measure, Measured, in_order, membrane_at, watching


class Advanced(NamedTuple):
    """Results of some steps."""

    out: Tensor
    """Output of the last block, ``[S, B, ...]``; or its mean over time, ``[B, ...]``."""
    is_mean: bool
    states: tuple[Any, ...]
    """State of every block; empty if they are not needed."""
    measured: Measured
    kept: bool = False
    """True if a kept chain was used, which takes no batch statistics."""


def advance_blocks(
    blocks: Mapping[str, nn.Module], x: Tensor, call: Call, how: PassContext, states: Sequence[Any], *, mean: bool
) -> Advanced:
    """Drive the blocks with x."""
    names, done, after, measured, is_mean = list(blocks), 0, list[Any](), Measured(), False
    while done < len(names):
        rest = {name: blocks[name] for name in names[done:]}
        run = plan_of(rest, x, how.compute, call).fused
        rectifies = any(block.rectifies for block in run.values())
        if rectifies and how.measure:  # only modules are measured
            run = {}
        if run:
            is_mean = mean and len(run) == len(rest) and not rectifies
            x, now, found = _run_fused(run, x, call, how, states[done : done + len(run)], mean=is_mean)
        else:
            name, block = next(iter(rest.items()))
            with watching(layers_of({name: block}), x, how.measure) as found:
                x, state = passed(f"block {name!r}", block, real(x, *rest.values()), call, states[done])
            now = [state]
        done, after = done + max(1, len(run)), after + now
        measured |= found
    return Advanced(x, is_mean, tuple(after) if how.goes_on else (), measured)


def layers_of(blocks: Mapping[str, Any]) -> dict[str, SpikingLayer]:
    """Return every layer that blocks list, by its name in the network: ``conv1``, ``block3.body``."""
    listed = [layer.under(name) for name, block in blocks.items() for layer in block.layers]
    return {layer.name: layer for layer in listed}


def real(x: Tensor, *modules: nn.Module) -> Tensor:
    """Convert spikes to floats of the type of the first weights that they meet in a sequence of modules."""
    if x.dtype != torch.int8:
        return x
    weights = itertools.chain.from_iterable(module.parameters() for module in modules)
    return x.to(next((weight.dtype for weight in weights), torch.get_default_dtype()))


def _run_fused(
    run: Mapping[str, FusedBlock], x: Tensor, call: Call, how: PassContext, states: Sequence[Any], *, mean: bool
) -> tuple[Tensor, list[Any], Measured]:
    """Return spikes or an ANN's activations ``[S, B, ...]`` or their mean, every block's state and the measures."""
    blocks = list(run.values())
    fused = [node for block in blocks for node in block.nodes]
    seen: list[LayerMeasures | None] = [None] * len(fused)
    if blocks[0].rectifies:
        out, moments = run_rectified([one.node for one in fused], channels_last(x).to(torch.float32), how.compute)
        ends = [Start()] * len(fused)
    else:
        nodes, spikes = entered([one.node for one in fused], x, how.compute)
        paired = zip(blocks, states, strict=True)
        starts = [start for block, state in paired for start in block.enter(state, x.shape[1], call.first)]
        ran = run_stack(nodes, spikes, how, starts, mean_over_time=mean)
        out, moments, ends, seen = ran.out, [*ran.moments], [*ran.ends], [*ran.seen]
    steps = call.steps(x)
    for one, batch in zip(fused, moments, strict=True):
        if batch is not None and one.norm is not None:
            one.norm.take_in(batch, slice(None) if one.norm.method.shared_running else steps, steps.start)
    after, measured = list[Any](), Measured()
    for (name, block), state in zip(run.items(), states, strict=True):
        size = len(block.nodes)
        if ends:  # empty if no later step needs them
            after.append(block.leave(ends[:size], state))
        if how.measure:
            measured |= measured_of(name, block, seen[:size], how.measure, after)
        del ends[:size], seen[:size]
    return left(out, blocks[-1]), after, measured


def measured_of(
    block: str, fused: FusedBlock, seen: Sequence[LayerMeasures | None], measure: Measure, after: Sequence[Any]
) -> Measured:
    """Return the measures of a block's layers; the last state in ``after`` is the block's."""
    measured: Measured = {}
    for one, looked in zip(fused.nodes, seen, strict=True):
        if one.layer is None or looked is None:
            continue
        name = f"{block}.{one.layer}".rstrip(".")
        measured[name] = in_order(looked, measure, one.neurons, flat=one.flat)
        if measure.membrane is not None and measure.membrane[0] == name and one.unit is not None:
            state = after[-1][one.unit] if fused.several else after[-1]
            measured[name] = replace(measured[name], membrane=membrane_at(name, state.membrane, measure.membrane[1]))
    return measured


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
    chain: Chain, x: Tensor, call: Call, how: PassContext, row: int, states: Sequence[Any], *, mean: bool
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
class _Snapshot:
    """The parts of a network at one time, with copies of their values as soon as there is a chain."""

    made: Made
    settings: tuple[object, ...]
    versions: list[tuple[Any, ...]]
    prepared: Prepared = field(default_factory=Prepared)
    values: list[Tensor | None] = field(default_factory=list)
    storages: list[Tensor] = field(default_factory=list)
    """The memory of parameters and buffers: while it is held, a replacement has another address."""
    ready: dict[tuple[object, ...], Chain] = field(default_factory=dict)
    """Chains by the shape of a call's samples."""
    refused: dict[tuple[object, ...], int] = field(default_factory=dict)
    """By shape, the number of samples from which on a call cannot have a chain."""

    def is_of(self, made: Made, settings: tuple[object, ...]) -> bool:
        """Return True if nothing has changed."""
        pairs: list[tuple[Sequence[object], Sequence[object]]] = list(zip(self.made, made, strict=True))
        same = all(len(one) == len(other) and all(map(is_, one, other)) for one, other in pairs)
        return self.settings == settings and same and self.versions == list(map(version_of, made.tensors))

    def make_room(self, size: int) -> None:
        """Drop the oldest chains until another one of this many bytes fits."""
        while self.ready and (
            len(self.ready) >= MOST_SHAPES or sum(chain.size for chain in self.ready.values()) + size > MOST_BYTES
        ):
            self.ready.pop(next(iter(self.ready)))

    def same_values(self) -> bool:
        """Return True if no parameter or buffer has changed, not even by a write that moves no version counter."""
        pairs = zip(self.values, self.made.tensors, strict=True)
        return all(one is None or other is None or torch.equal(one, other) for one, other in pairs)


class PlanCache:
    """The chains of one network; a copy of the network has none.

    A network's first call, or the first after a change, records its parts; the next one makes a chain. The first call
    of a sequence also compares the values of parameters and buffers, which finds writes through ``.data``. A thread
    that comes while another one uses them goes on without.
    """

    def __init__(self) -> None:
        self._held: _Snapshot | None = None
        self._compared = False
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[PlanCache], tuple[()]]:
        return PlanCache, ()

    def advance(
        self,
        blocks: nn.ModuleDict,
        num_steps: int | None,
        x: Tensor,
        call: Call,
        how: PassContext,
        states: Sequence[Any],
        *,
        mean: bool,
    ) -> Advanced | None:
        """Advance the blocks as ``advance_blocks`` does; None if no chain is kept for the call."""
        compute = how.compute
        if call.first == 0:
            self._compared = False  # even if this call cannot use a chain, the next one may
        unfit = compute.backend not in ("auto", "cpu") or compute.precision == "bf16" or how.measure not in FIT
        unfit = unfit or torch.compiler.is_compiling() or torch.is_grad_enabled() or x.numel() * 4 > MOST_BYTES
        if unfit or why_not_here(x, "cpu") or not self._lock.acquire(blocking=False):
            return None
        try:
            ready = self._ready(blocks, num_steps, x, how)
            row = 0 if num_steps is None else call.first
            return None if ready is None else _advance(ready, x, call, how, row, states, mean=mean)
        finally:
            self._lock.release()

    def _ready(self, blocks: nn.ModuleDict, num_steps: int | None, x: Tensor, how: PassContext) -> Chain | None:
        """Return the chain for a call like this one, made if it is the second; None if there is none."""
        rule = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(), use_variant()
        held = self._of(blocks, (num_steps, how.compute, changes_told(), *rule))
        key, samples = (len(x), x.shape[2:], x.dtype), x.shape[1]
        if held is None or samples >= held.refused.get(key, samples + 1):
            return None
        ready = held.ready.get(key)
        if held.values and not (self._compared and ready):
            if not held.same_values():
                self._held = None
                return None
            self._compared = True
        if ready is None or ready.most < samples:
            held.ready.pop(key, None)
            begun = _begin(blocks, num_steps, x, how, held)
            if isinstance(begun, int):
                if len(held.refused) >= MOST_SHAPES:
                    held.refused.clear()
                held.refused[key] = begun
                return None
            ready = held.ready[key] = begun
        return ready

    def _of(self, blocks: nn.ModuleDict, settings: tuple[object, ...]) -> _Snapshot | None:
        """Return what is held, if the network is still the same."""
        made, held = fingerprint(blocks), self._held
        if held is not None and made is not None and held.is_of(made, settings):
            return held
        self._held = None
        tensors = () if made is None else [tensor for tensor in made.tensors if tensor is not None]
        if made is not None and all(is_plain(tensor) and not tensor.is_inference() for tensor in tensors):
            self._held = _Snapshot(made, settings, list(map(version_of, made.tensors)))
        return None


def _begin(blocks: nn.ModuleDict, num_steps: int | None, x: Tensor, how: PassContext, held: _Snapshot) -> Chain | int:
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
        if not held.values:
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

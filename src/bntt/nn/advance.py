"""Blocks advanced by some steps: fused where the plan says so, as the modules that they are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bntt.engine.compute import Compute
from bntt.engine.layer import Layer
from bntt.engine.stack import Stack, run_stack
from bntt.engine.synapse import Prepared, Spikes
from bntt.nn.block import BlockState
from bntt.nn.call import Call
from bntt.nn.known import FusedBlock
from bntt.nn.measure import Measure, Measured, of_seen
from bntt.nn.norm import TemporalNorm
from bntt.nn.plan import plan_of
from bntt.nn.stage import SpikingLayer, passed
from bntt.nn.watch import membrane_at, watching


@dataclass(frozen=True)
class Work:
    """How blocks are advanced in one call."""

    call: Call
    compute: Compute
    measure: Measure
    goes_on: bool
    """Whether somebody goes on from the states after the last step."""
    prepared: Prepared | None = None
    """Weights as earlier steps took them."""


class Advanced(NamedTuple):
    """What some steps gave."""

    out: Tensor
    """What left the last block, ``[S, B, ...]``; or its mean over time, ``[B, ...]``."""
    is_mean: bool
    states: tuple[Any, ...]
    """Of every block; empty if nobody goes on from them."""
    measured: Measured


def advance_blocks(
    blocks: Mapping[str, nn.Module], x: Tensor, work: Work, states: Sequence[Any], *, mean: bool
) -> Advanced:
    """Drive the blocks with x.

    Args:
        states: every block's before the first step; None is rest.
        mean: whether the mean over time is all that is wanted; it is given where the kernels can.
    """
    names, done, after, measured, is_mean = list(blocks), 0, list[Any](), Measured(), False
    while done < len(names):
        rest = {name: blocks[name] for name in names[done:]}
        run = plan_of(rest, x, work.compute, work.call.first, whole=bool(work.call.whole)).fused
        if run:
            is_mean = mean and len(run) == len(rest)
            x, now, found = _run_fused(run, x, work, states[done : done + len(run)], mean=is_mean)
        else:
            name, block = next(iter(rest.items()))
            with watching(layers_of({name: block}), len(x), work.measure) as found:
                x, state = passed(f"block {name!r}", block, real(x, block), work.call, states[done])
            now = [state]
        done, after = done + max(1, len(run)), after + now
        measured |= found
    return Advanced(x, is_mean, tuple(after) if work.goes_on else (), measured)


def layers_of(blocks: Mapping[str, Any]) -> dict[str, SpikingLayer]:
    """Every layer that blocks list, by its name in the network: ``conv1``, ``block3.body``."""
    listed = [layer.under(name) for name, block in blocks.items() for layer in block.layers]
    return {layer.name: layer for layer in listed}


def real(x: Tensor, module: nn.Module) -> Tensor:
    """What a module is given: floats, of its own weights' type."""
    if x.dtype != torch.int8:
        return x
    return x.to(next((p.dtype for p in module.parameters()), torch.get_default_dtype()))


def _run_fused(
    run: Mapping[str, FusedBlock], x: Tensor, work: Work, states: Sequence[BlockState | None], *, mean: bool
) -> tuple[Tensor, list[BlockState], Measured]:
    """Spikes ``[S, B, ...]`` or their mean; every block's state; what was measured. Running statistics take it in."""
    blocks = list(run.values())
    layers, spikes = _entered(blocks, x, work.compute)
    starts = [
        None if state is None else one.enter(state.membrane, x.shape[1])
        for one, state in zip(blocks, states, strict=True)
    ]
    stack = Stack(layers, work.compute, starts, work.goes_on, work.prepared, work.measure)
    ran = run_stack(stack, spikes, mean_over_time=mean)
    steps = work.call.steps(x)
    for one, found in zip(blocks, ran.moments, strict=True):
        if found is not None and isinstance(one.norm, TemporalNorm):
            one.norm.take_in(found, slice(None) if one.norm.method.shared_running else steps, work.call.first)
    after = [
        BlockState(one.leave(end), None if state is None else state.norm)
        for one, end, state in zip(blocks, ran.ends, states, strict=False)  # no ends where nobody goes on from them
    ]
    measured: Measured = {}
    for name, seen in zip(run, ran.seen, strict=True) if work.measure else ():
        measured[name] = of_seen(seen, work.measure, run[name].neurons, flat=run[name].flat)
    if work.measure.membrane is not None and (name := work.measure.membrane[0]) in run:
        membrane = membrane_at(name, after[list(run).index(name)].membrane, work.measure.membrane[1])
        measured[name] = replace(measured[name], membrane=membrane)
    return _left(ran.out, blocks[-1]), after, measured


def _left(out: Tensor, last: FusedBlock) -> Tensor:
    """What a run gives to modules, from ``[..., H, W, C]``: in the layout that they know, strides of one channel or
    pixel included, for oneDNN 3.12 crashes on some that lie otherwise."""
    return out.movedim(-1, -3).reshape(-1).view(*out.shape[:-3], *last.out.shape)


def _entered(run: Sequence[FusedBlock], x: Tensor, compute: Compute) -> tuple[list[Layer], Spikes]:
    """The layers and their input as the kernels take it.

    Where they go event-driven, signed spikes (int8) become events of two channels, one for each sign, and the weights
    meet them twice. Convolutions over so few channels are faster dense, but for the bits of their weight gradient.
    """
    layers = [fused.layer for fused in run]
    values = x.movedim(2, -1) if x.ndim == 5 else x.flatten(2)[:, :, None, None, :]
    if x.dtype != torch.int8 or compute.kernels != "cpu":
        return layers, Spikes(values)
    if bool((x < 0).any()):
        dense = layers[0].weight.ndim == 4 and not torch.are_deterministic_algorithms_enabled()
        if dense or layers[0].geometry.groups != 1:
            return layers, Spikes(values)
        values = torch.cat([values.clamp(min=0), values.clamp(max=0).neg_()], -1)
        layers[0] = replace(layers[0], weight=torch.cat([layers[0].weight, -layers[0].weight], 1))
    counts = values.contiguous().view(torch.uint8)
    return layers, Spikes(counts, 1.0, max(1, int(counts.max())), float(counts.sum()) / counts.numel())

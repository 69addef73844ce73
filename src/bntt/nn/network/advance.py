"""Blocks advanced by some steps: fused where the plan says so, as plain modules elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bntt.engine.compute import Compute
from bntt.engine.graph.node import How, Start
from bntt.engine.graph.recording import LayerMeasures
from bntt.engine.graph.rectified import run_rectified
from bntt.engine.graph.stack import run_stack
from bntt.nn.blocks.stage import SpikingLayer, passed
from bntt.nn.fusion.fuse import FusedBlock, FusedNode, channels_last, entered, left, plan_of
from bntt.nn.network.call import Call
from bntt.nn.network.measured import Measure, Measured, in_order, membrane_at, watching
from bntt.ops.norm import Moments


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
    blocks: Mapping[str, nn.Module], x: Tensor, call: Call, how: How, states: Sequence[Any], *, mean: bool
) -> Advanced:
    """Drive the blocks with x."""
    names, done, after, measured, is_mean = list(blocks), 0, list[Any](), Measured(), False
    while done < len(names):
        rest = {name: blocks[name] for name in names[done:]}
        run = plan_of(rest, x, how.compute, call).fused
        rectifies = any(block.rectifies for block in run.values())
        if rectifies and how.measure:  # only modules are measured
            run = {}
        if run and rectifies:
            x, now, found = _run_rectified(run, x, call, how)
        elif run:
            is_mean = mean and len(run) == len(rest)
            x, now, found = _run_fused(run, x, call, how, states[done : done + len(run)], mean=is_mean)
        else:
            name, block = next(iter(rest.items()))
            with watching(layers_of({name: block}), x, how.measure) as found:
                x, state = passed(f"block {name!r}", block, real(x, *rest.values()), call, states[done])
            now = [state]
        done, after = done + max(1, len(run)), after + now
        measured |= found
    return Advanced(x, is_mean, tuple(after) if how.goes_on else (), measured)


@torch.no_grad()
def plain_blocks(blocks: Mapping[str, nn.Module], x: Tensor, compute: Compute) -> dict[str, str]:
    """Return, by name, why blocks run in plain PyTorch in training; fused ones are left out. All end in eval mode."""
    found, call = dict[str, str](), Call()
    for name, block in blocks.items():
        if reason := plan_of({name: block.train()}, x, compute, call).reason:
            found[name] = reason
        x = advance_blocks({name: block.eval()}, x, call, How(compute), [None], mean=False).out
    return found


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
    run: Mapping[str, FusedBlock], x: Tensor, call: Call, how: How, states: Sequence[Any], *, mean: bool
) -> tuple[Tensor, list[Any], Measured]:
    """Return spikes ``[S, B, ...]`` or their mean, every block's state and the measures; update running statistics."""
    blocks = list(run.values())
    fused = [node for block in blocks for node in block.nodes]
    nodes, spikes = entered([one.node for one in fused], x, how.compute)
    starts = [
        start
        for block, state in zip(blocks, states, strict=True)
        for start in block.enter(state, x.shape[1], call.first)
    ]
    ran = run_stack(nodes, spikes, how, starts, mean_over_time=mean)
    _take_in(fused, ran.moments, call.steps(x))
    after, measured, ends, seen = list[Any](), Measured(), list(ran.ends), list(ran.seen)
    for (name, block), state in zip(run.items(), states, strict=True):
        size = len(block.nodes)
        if ends:  # empty if no later step needs them
            after.append(block.leave(ends[:size], state))
        if how.measure:
            measured |= measured_of(name, block, seen[:size], how.measure, after)
        del ends[:size], seen[:size]
    return left(ran.out, blocks[-1]), after, measured


def _run_rectified(
    run: Mapping[str, FusedBlock], x: Tensor, call: Call, how: How
) -> tuple[Tensor, list[Any], Measured]:
    """Return activations ``[1, B, ...]`` of an ANN's layers and every block's state; update running statistics."""
    blocks = list(run.values())
    fused = [node for block in blocks for node in block.nodes]
    nodes, drive = [one.node for one in fused], channels_last(x).to(torch.float32)
    out, moments = run_rectified(nodes, drive, how.compute)
    _take_in(fused, moments, call.steps(x))
    return left(out, blocks[-1]), [block.leave([Start()] * len(block.nodes), None) for block in blocks], {}


def _take_in(nodes: Sequence[FusedNode], moments: Sequence[Moments | None], steps: slice) -> None:
    for one, found in zip(nodes, moments, strict=True):
        if found is not None and one.norm is not None:
            one.norm.take_in(found, slice(None) if one.norm.method.shared_running else steps, steps.start)


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

"""The plan of one call: which blocks of a network run together on the kernels, why the next cannot; and that run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bntt.engine import private
from bntt.engine.compute import Compute, KernelName
from bntt.engine.kernels import BackendError, device_of, find_backend, require_precision
from bntt.engine.layer import Layer
from bntt.engine.stack import Stack, run_stack
from bntt.engine.synapse import Prepared, Spikes
from bntt.nn.known import FusedBlock, fuse, layout_of
from bntt.nn.norm import TemporalNorm
from bntt.nn.state import BlockState
from bntt.ops.norm import Moments


class Plan(NamedTuple):
    """Which blocks of a network run together for one input."""

    fused: tuple[FusedBlock, ...]
    """From the first block on."""
    reason: str
    """Why the next block cannot; "" where all are fused."""
    takes_bytes: bool
    """Whether spikes are best given as int8, one byte each."""


def why_not_here(x: Tensor, kernels: KernelName) -> str:
    """Why nothing can be fused for this input; "" if something may be."""
    found = find_backend(kernels)
    if not found.available:
        return found.detail
    device = device_of(kernels)
    if x.device.type != device or x.dtype not in (torch.float32, torch.int8):
        return f"the kernels take float32 or int8 on {device}, the input is {x.dtype} on {x.device}"
    if x.numel() == 0:
        return "the input is empty"
    if torch.compiler.is_compiling() or private.being_traced() or torch.is_autocast_enabled(device):
        return "the network is being compiled or traced, or autocast is on"
    if private.has_global_hooks():
        return "a hook for all modules is registered"
    if private.being_transformed():
        return "forward-mode differentiation or a function transform is on"
    return "something watches PyTorch's operations, such as a FlopCounterMode" if private.being_watched() else ""


def plan_of(blocks: Mapping[str, nn.Module], x: Tensor, compute: Compute, first: int | None = None) -> Plan:
    """As many blocks from the first on as can be fused for this input, and why the next one cannot.

    Args:
        x: ``[T, B, ...]``; only its shape, type and device are looked at.
        first: which step is the first of the input; None: the input must have all steps of the norms.

    Raises:
        BackendError: if a block cannot be fused and the choice insists on what only the kernels have.
    """
    require_precision(compute.precision, x.device)
    fused: list[FusedBlock] = []
    reason = "backend 'reference' is plain PyTorch"
    if compute.backend != "reference":
        reason = why_not_here(x, compute.kernels)
    layout, steps = layout_of(x), range(first or 0, (first or 0) + x.shape[0])
    for name, block in blocks.items():
        found = reason or fuse(block, steps, x.shape[1], layout, x.device, whole=first is None)
        if isinstance(found, FusedBlock):
            fused.append(found)
            layout = found.out
            continue
        reason = found
        if compute.insists:
            wanted = (
                f"in precision {compute.precision!r}, which only the kernels have"
                if compute.precision != "fp32"
                else f"on backend {compute.backend!r}"
            )
            raise BackendError(
                f"block {name!r} cannot run {wanted}: {reason}; with Compute() such a block runs in plain PyTorch, "
                f"backend 'auto' and precision 'fp32'"
            )
        break
    return Plan(tuple(fused), reason, bool(fused) and compute.kernels == "cpu")


def run_fused(
    blocks: Iterable[nn.Module], run: Sequence[FusedBlock], x: Tensor, compute: Compute, *, mean: bool
) -> Tensor:
    """The run's spikes ``[T, B, ...]``, or their mean over time ``[B, ...]``; running statistics take the batch in."""
    layers, spikes = _entered(run, x, compute)
    ran = run_stack(Stack(layers, compute), spikes, mean_over_time=mean)
    _take_in(blocks, ran.moments, slice(None))
    return _left(ran.out, run[-1])


def advance_fused(
    blocks: Sequence[nn.Module],
    run: Sequence[FusedBlock],
    x: Tensor,
    compute: Compute,
    states: Sequence[BlockState | None],
    first: int,
    prepared: Prepared,
) -> tuple[Tensor, list[BlockState], list[Tensor]]:
    """Some steps from a state: the run's spikes ``[S, B, ...]``, every block's state after them, and every block's
    spikes per step and channel ``[S, C]``."""
    layers, spikes = _entered(run, x, compute)
    starts = [None if state is None else one.enter(state.membrane) for one, state in zip(run, states, strict=True)]
    stack = Stack(layers, compute, starts, wants_ends=True, prepared=prepared)
    ran = run_stack(stack, spikes, mean_over_time=False)
    _take_in(blocks, ran.moments, slice(first, first + len(x)))
    after = [
        BlockState(one.leave(end), None if state is None else state.norm)
        for one, end, state in zip(run, ran.ends, states, strict=True)
    ]
    return _left(ran.out, run[-1]), after, [seen.spikes for seen in ran.seen]


def _left(out: Tensor, last: FusedBlock) -> Tensor:
    """What a run gives to modules, from ``[..., H, W, C]``: in the layout that they know, strides of one channel or
    pixel included, for oneDNN 3.12 crashes on some that lie otherwise."""
    return out.movedim(-1, -3).reshape(-1).view(*out.shape[:-3], *last.out.shape)


def _take_in(blocks: Iterable[nn.Module], moments: Iterable[Moments | None], steps: slice) -> None:
    """Move running statistics towards the batch's."""
    for block, found in zip(blocks, moments, strict=False):
        if found is not None and isinstance(block.norm, TemporalNorm):
            block.norm.take_in(found, slice(None) if block.norm.method.shared_running else steps, steps.start or 0)


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

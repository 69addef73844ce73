"""Which blocks of a network run together on the kernels in one call, and why the next one does not; which parts can."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bntt.engine import private
from bntt.engine.compute import Compute, KernelName, Recompute
from bntt.engine.door import is_plain
from bntt.engine.graph.node import Node
from bntt.engine.graph.spans import largest_step, saves_memory, sizes, steps_at_once
from bntt.engine.kernels import BackendError, device_of, require_precision, why_unavailable
from bntt.engine.synapse import Spikes
from bntt.nn.blocks.block import CurrentBlock, NeuronBlock, SpikeDropout, SpikingBlock
from bntt.nn.blocks.residual import Residual
from bntt.nn.fusion.fuse import FusedBlock, Layout, Site, channels_last, fuse, layout_of
from bntt.nn.kinds import NEURONS, NORMS, borrowed_generator
from bntt.nn.network.call import Call
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms.methods import NoNorm
from bntt.ops.folded import FoldedNeuron
from bntt.ops.lif import Neuron


class Plan(NamedTuple):
    """The blocks of a network that run together for one input."""

    fused: dict[str, FusedBlock]
    """The fused blocks, from the first on, by name."""
    reason: str
    """Reason why the next block cannot be fused; "" if all are."""


def why_not_here(x: Tensor, kernels: KernelName) -> str:
    """Return why nothing can be fused for this input; "" if blocks may be."""
    if reason := why_unavailable(kernels):
        return reason
    device = device_of(kernels)
    if not is_plain(x):
        return f"the kernels take plain tensors, the input is a {type(x).__name__}, {x.layout}"
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
    if private.being_overridden():
        return "a mode overrides PyTorch's functions"
    return "something watches PyTorch's operations, such as a FlopCounterMode" if private.being_watched() else ""


def plan_of(blocks: Mapping[str, nn.Module], x: Tensor, compute: Compute, call: Call = Call()) -> Plan:
    """Fuse as many blocks from the first on as this input allows, and say why the next one cannot be."""
    require_precision(compute.precision, x.device)
    fused: dict[str, FusedBlock] = {}
    reason = "backend 'reference' is plain PyTorch"
    if compute.backend != "reference":
        reason = why_not_here(x, compute.kernels)
    layout, steps = layout_of(x), range(call.first, call.first + x.shape[0])
    site = Site(call, steps, x.shape[1], compute, x.device)
    for name, block in blocks.items():
        found = reason or fuse(block, site, layout)
        if isinstance(found, FusedBlock) and any(one.rectifies != found.rectifies for one in fused.values()):
            found = "blocks that spike and blocks that rectify do not run together"
        if isinstance(found, FusedBlock):
            fused[name] = found
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
                f"block {name!r} cannot run {wanted}: {reason}; in plain PyTorch such a block runs with backend 'auto' "
                f"and precision 'fp32'"
                + ("; on a GPU only backend 'triton' has kernels" if x.is_cuda and compute.kernels == "cpu" else "")
            )
        break
    return Plan(fused, reason)


def samples_at_once(plan: Plan, shape: Sequence[int]) -> int:
    """Return how many samples can take one step in the memory of one chunk of a pass."""
    nodes = _nodes(plan)
    if plan.reason or not nodes:
        return 0
    values = channels_last(torch.empty(1, 1, *shape, device="meta"))
    return steps_at_once(max(values.numel(), largest_step(sizes(nodes, Spikes(values)))))


def settled(blocks: Mapping[str, nn.Module], x: Tensor, compute: Compute, call: Call) -> Compute:
    """Return ``compute`` with ``recompute="auto"`` resolved: whether to recompute currents is decided here, once."""
    if compute.recompute != "auto" or compute.reduce is not None:
        return compute
    nodes, values = _nodes(plan_of(blocks, x, compute, call)), channels_last(x)
    choice: Recompute = (
        math.isqrt(len(x) - 1) + 1 if nodes and saves_memory(nodes, Spikes(values), compute) else "never"
    )
    return replace(compute, recompute=choice)


def _nodes(plan: Plan) -> list[Node]:
    return [one.node for block in plan.fused.values() for one in block.nodes]


SITE = Site(Call(), range(2), 2, Compute(), torch.device("cpu"))
IMAGE = Layout((2, 4, 4), (4, 4, 2))


def fused_norms() -> dict[str, str]:
    """Return how every norm runs, fused or in plain PyTorch, by name."""
    return {
        name: _tried(partial(make, 2, 2, 1.0), lambda norm: _layer(LIF(), norm=norm)) for name, make in NORMS.items()
    }


def _tried(make: Callable[[], nn.Module], layer: Callable[[nn.Module], nn.Module], steps: range = SITE.steps) -> str:
    try:
        with borrowed_generator():
            part = make()
    except Exception as error:  # the code of a custom part runs here, and may raise anything
        return f"not known: with 2 channels and few steps it cannot be built ({error})"
    return _done(layer(part), steps)


def fused_parts() -> dict[str, str]:
    """Return how every kind of neuron and block runs, fused or in plain PyTorch, by name."""
    current = CurrentBlock(_layer(LIF()).synapse, NoNorm())
    kinds: dict[str, nn.Module] = {
        "LIF": _layer(LIF()),
        "LIF, learned leak": _layer(LIF(0.5, learn_leak=True)),
        "LIF, input decays": _layer(LIF(0.5, decay_input=True)),
        "PLIF": _layer(LIF(0.5, learn_leak=True, decay_input=True)),
        "FoldedLIF": _layer(FoldedLIF(FoldedNeuron(0.9, 1.0))),
        "AvgPool2d": _layer(LIF(), pool=nn.AvgPool2d(2)),
        "MaxPool2d": _layer(LIF(), pool=nn.MaxPool2d(2)),
        "SpikeDropout": _layer(LIF(), dropout=SpikeDropout(0.5)),
        "CurrentBlock": current,
        "NeuronBlock": NeuronBlock(LIF()),
        "Residual": Residual({"body": current}, after=NeuronBlock(LIF())),
    }
    given = {**vars(Neuron()), "learn_leak": False}
    others = {  # in one step, since an ANN has no more
        name: _tried(partial(make, 2, 1, **given), _layer, range(1)) for name, make in NEURONS.items() if name != "lif"
    }
    return {name: _done(block) for name, block in kinds.items()} | others


def _layer(lif: nn.Module, *, norm: nn.Module | None = None, **following: nn.Module) -> SpikingBlock:
    weights = nn.utils.skip_init(nn.Conv2d, 2, 2, 1)  # type: ignore[no-untyped-call]
    return SpikingBlock(weights, norm or NoNorm(), lif, **following)


def _done(block: nn.Module, steps: range = SITE.steps) -> str:
    """Describe how a block runs; if it is not fused, why."""
    site = replace(SITE, steps=steps)
    training, evaluation = (fuse(block.train(mode), site, IMAGE) for mode in (True, False))
    if isinstance(evaluation, str):
        return f"plain PyTorch: {evaluation}"
    if isinstance(training, str):
        return f"fused in evaluation; training in plain PyTorch: {training}"
    return "fused in training and evaluation"

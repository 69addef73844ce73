"""Which norms, neurons and blocks the fused CPU kernels support, found by trying each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from bntt.engine.compute import Compute
from bntt.nn.blocks.block import CurrentBlock, NeuronBlock, SpikeDropout, SpikingBlock
from bntt.nn.blocks.residual import Residual
from bntt.nn.fusion.fuse import Layout, Site, fuse
from bntt.nn.kinds import NEURONS, NORMS, Kind, NormBuilder, borrowed_generator
from bntt.nn.network.call import Call
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms.methods import NoNorm
from bntt.ops.folded import FoldedNeuron
from bntt.ops.lif import Neuron

SITE = Site(Call(), range(2), 2, Compute(), torch.device("cpu"))
IMAGE = Layout((2, 4, 4), (4, 4, 2))


def fused_norms() -> dict[str, str]:
    """Return how every norm runs, fused or in plain PyTorch, by name."""
    return {name: _norm_done(build) for name, build in NORMS.items()}


def _norm_done(build: NormBuilder) -> str:
    made = _made(lambda: build(2, 2, 1.0))
    return made if isinstance(made, str) else _done(_layer(LIF(), norm=made))


def _neuron_done(kind: Kind[nn.Module]) -> str:
    made = _made(lambda: kind(2, 1, **vars(Neuron()), learn_leak=False))  # one step, since an ANN has no more
    return made if isinstance(made, str) else _done(_layer(made), range(1))


def _made(build: Callable[[], nn.Module]) -> nn.Module | str:
    try:
        with borrowed_generator():
            return build()
    except Exception as error:  # the code of a custom part runs here, and may raise anything
        return f"not known: with 2 channels and few steps it cannot be built ({error})"


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
    others = {name: _neuron_done(kind) for name, kind in NEURONS.items() if name != "lif"}
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

"""What the fused kernels do for every kind of neuron and block, found by asking."""

from __future__ import annotations

import torch
from torch import nn

from bntt.engine.compute import Compute
from bntt.nn.block import CurrentBlock, NeuronBlock, SpikingBlock
from bntt.nn.call import Call
from bntt.nn.dropout import SpikeDropout
from bntt.nn.folded import FoldedLIF
from bntt.nn.fuse import Site, fuse
from bntt.nn.known import Layout
from bntt.nn.lif import LIF
from bntt.nn.norm import NoNorm
from bntt.nn.residual import Residual
from bntt.ops.folded import FoldedNeuron


def fused_parts() -> dict[str, str]:
    """For every kind of neuron and block, what the fused kernels of the processor do for it.

    >>> fused_parts()["Residual"]
    'fused in training and evaluation'
    """

    def layer(lif: nn.Module, pool: nn.Module | None = None, dropout: nn.Module | None = None) -> SpikingBlock:
        return SpikingBlock(nn.utils.skip_init(nn.Conv2d, 2, 2, 1), NoNorm(), lif, pool, dropout)  # type: ignore[no-untyped-call]

    current = CurrentBlock(layer(LIF()).synapse, NoNorm())
    kinds: dict[str, nn.Module] = {
        "LIF": layer(LIF()),
        "LIF, learned leak": layer(LIF(0.5, learn_leak=True)),
        "FoldedLIF": layer(FoldedLIF(FoldedNeuron(0.9, 1.0))),
        "AvgPool2d": layer(LIF(), nn.AvgPool2d(2)),
        "MaxPool2d": layer(LIF(), nn.MaxPool2d(2)),
        "SpikeDropout": layer(LIF(), None, SpikeDropout(0.5)),
        "CurrentBlock": current,
        "NeuronBlock": NeuronBlock(LIF()),
        "Residual": Residual({"body": current}, after=NeuronBlock(LIF())),
    }
    site = Site(Call(), range(1), 1, Compute(), torch.device("cpu"))
    found = {}
    for name, block in kinds.items():
        reasons = [fuse(block.train(training), site, Layout((2, 4, 4), (4, 4, 2))) for training in (True, False)]
        why = next((reason for reason in reasons if isinstance(reason, str)), "")
        found[name] = f"plain PyTorch: {why}" if why else "fused in training and evaluation"
    return found

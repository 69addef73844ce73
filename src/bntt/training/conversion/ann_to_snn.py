"""ANN-SNN conversion: the weights of a trained ANN drive integrators (Sengupta et al. 2019).

A neuron without leak that is driven by ``a`` at every step fires at the rate ``a / θ``, from 0 to 1: a rectifier, in
units of its threshold. What the thresholds are, :func:`~bntt.training.balance` says.
"""

from __future__ import annotations

import copy

from torch import nn

from bntt.nn.blocks.block import SpikingBlock
from bntt.nn.blocks.dropout import SpikeDropout
from bntt.nn.blocks.readout import Readout
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, Rectifier
from bntt.nn.norms.methods import NoNorm
from bntt.ops.lif import FireRule, Reset, fire_after, soft_reset
from bntt.training.conversion.sequential import read_sequential


def convert(
    ann: SpikingNetwork | nn.Sequential, *, reset: Reset = soft_reset, rule: FireRule = fire_after
) -> SpikingNetwork:
    """A spiking network with the weights of an ANN: integrators (leak 1) with the threshold 1, until they are balanced.

    It is a copy, in evaluation mode, and an ordinary network: it takes any number of steps, and runs fused.

    Args:
        ann: a network of ours with ``neuron="relu"``; or an ``nn.Sequential`` of convolutions, fully connected layers,
            ReLU, average pooling, flattening and dropout. There, batch normalisation right behind weights is folded
            into them as it evaluates, which gives them a bias; weights may have one.
        reset: ``soft_reset`` (Han et al. 2020) keeps what is beyond the threshold; ``hard_reset`` is the first form.
        rule: when its neurons fire.

    Raises:
        ValueError: if a part cannot be converted, such as max pooling, a norm elsewhere or a residual connection; the
            message names it, and the way out.

    >>> from bntt.models import mlp
    >>> ann = mlp(in_features=4, hidden=(8,), num_steps=1, norm="none", neuron="relu")
    >>> convert(ann).blocks["fc1"].lif.neuron.leak
    1.0
    """
    if isinstance(ann, nn.Sequential):
        layers, readout = read_sequential(ann)
        blocks = {
            one.name: SpikingBlock(one.synapse, NoNorm(), LIF(1.0, rule=rule, reset=reset), one.pool) for one in layers
        }
        return SpikingNetwork(blocks, Readout(readout)).eval()
    for name, block in ann.blocks.items():
        if why := _why_not(block):
            raise ValueError(f"layer {name!r} cannot be converted: {why}")
    if type(ann.readout) is not Readout:
        raise ValueError(f"the readout is a {type(ann.readout).__name__}, only a Readout can be converted")
    made = copy.deepcopy(ann)
    for block in made.blocks.values():
        block.lif = LIF(1.0, rule=rule, reset=reset)
    return made.eval()


def _why_not(block: nn.Module) -> str:
    """What a conversion does not know of a block of an ANN of ours; "" if nothing."""
    if type(block) is not SpikingBlock:
        return f"it is a {type(block).__name__}: of layers one behind another alone it is known what rates do"
    if type(block.lif) is not Rectifier:
        return f"its neurons are {type(block.lif).__name__}, an ANN's rectify: build it with neuron='relu'"
    if type(block.norm) is not NoNorm:
        return f"its norm is {type(block.norm).__name__}: train it with norm='none'"
    if any(isinstance(part, nn.MaxPool2d | nn.AdaptiveMaxPool2d) for part in block.pool.modules()):
        return "it takes the largest of rates, and spikes do not tell it: train it with average pooling"
    if block.dropout is not None and type(block.dropout) is not SpikeDropout:
        return f"its dropout is {type(block.dropout).__name__}"
    return ""

"""A network without its norms: each becomes part of the neurons behind it (:mod:`bntt.ops.fold`)."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from bntt.nn.blocks import UNITS, CurrentBlock, NeuronBlock, Residual, SpikingBlock
from bntt.nn.fusion.untouched import why_touched
from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import check_network
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms import FAMILY, LayerNorm, NoNorm, TemporalNorm
from bntt.ops.fold import Normalisation, fold_neuron, normalisation
from bntt.ops.lif import Neuron


def fold(network: SpikingNetwork, *, mean: bool = True, ratio: bool = True) -> SpikingNetwork:
    """Return a copy for evaluation without norms: statistics, γ and β become part of the neurons' constants.

    By default the copy fires the same spikes, in float32 except for ties. The paper's Eq. 15 is ``mean=False,
    ratio=False``: a different network (:mod:`bntt.ops.fold`).

    Args:
        network: with :class:`~bntt.nn.TemporalNorm` norms, of any method, or none.
        mean: keep the running mean; Eq. 12 drops it.
        ratio: keep the ratio of two steps' scales in the leak; Eq. 13 drops it.

    Raises:
        ValueError: if a layer cannot be folded, which the message explains, or the readout has a norm.

    >>> import torch
    >>> from bntt.models import mlp
    >>> net = mlp(in_features=4, hidden=(8,), num_steps=6).double().eval()
    >>> folded, x = fold(net), torch.ones(6, 3, 4, dtype=torch.float64)
    >>> folded.blocks["fc1"].norm, folded.num_steps, torch.equal(folded(x), net(x))
    (NoNorm(), 6, True)
    """
    check_network(network, "fold")
    made = copy.deepcopy(network)
    for name, block in made.blocks.items():
        _fold_block(name, block, mean=mean, ratio=ratio)
    if any(norm_facts(part).running_statistics for part in made.readout.modules()):
        raise ValueError("the readout cannot be folded: it has a norm")
    return made.eval()


def _fold_block(name: str, block: nn.Module, *, mean: bool, ratio: bool) -> None:
    if type(block) is Residual:
        for part, inner in block.parts():
            _fold_block(f"{name}.{part}", inner, mean=mean, ratio=ratio)
    elif why := _why_not(block):
        raise ValueError(f"layer {name!r} cannot be folded: {why}")
    elif isinstance(block, SpikingBlock) and isinstance(norm := block.norm, TemporalNorm):
        neuron: Any = block.lif.neuron
        try:
            folded = fold_neuron(neuron, normalisation_of(norm), mean=mean, ratio=ratio, dtype=norm.gamma.dtype)
        except ValueError as error:
            raise ValueError(f"layer {name!r} cannot be folded: {error}") from None
        block.norm, block.lif = NoNorm(), FoldedLIF(folded).to(norm.gamma)


def normalisation_of(norm: TemporalNorm) -> Normalisation:
    """Return a norm's affine map in evaluation."""
    gamma, beta = norm.scale_and_shift()
    return normalisation(gamma, norm.running_mean, norm.running_var, beta, num_steps=norm.num_steps, eps=norm.eps)


def _why_not(block: Any) -> str:
    """Return why a block of one layer cannot be folded; "" if it can, or has nothing to fold."""
    if type(block) not in UNITS:
        return f"it is {type(block).__name__}, which is not one of the library's blocks"
    if isinstance(block, NeuronBlock) or type(block.norm) is NoNorm:
        return ""
    if type(block.norm) is LayerNorm:
        return "LayerNorm takes the statistics of each sample, which vary; only batch statistics can be folded"
    if type(block.norm) not in FAMILY:
        return f"its norm is {type(block.norm).__name__}, which is not from the library"
    if isinstance(block, CurrentBlock):
        return (
            "its current is added to another's, so two scales would reach one neuron: only a SpikingBlock's is folded"
        )
    if type(block.lif) is not LIF:
        return f"its norm is followed by {type(block.lif).__name__}, and not by LIF"
    if type(block.lif.neuron) is not Neuron:
        return f"its neurons are {type(block.lif.neuron).__name__}, which is not from the library"
    touched = why_touched(block.norm) or why_touched(block.lif)
    return touched and f"its norm or LIF {touched}, which the folded neurons would not have: remove it"

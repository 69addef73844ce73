"""ANN-SNN conversion: the weights of a trained ANN drive integrators (Sengupta et al. 2019).

A neuron without leak that is driven by ``a`` at every step fires at the rate ``a / θ``, from 0 to 1: a rectifier in
units of its threshold. :func:`~bntt.training.balance` chooses the thresholds. A plain ``nn.Sequential`` of
weights, ReLU and average pooling is read as the layers of a network.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

from bntt.nn.blocks.block import SpikeDropout, SpikingBlock
from bntt.nn.blocks.readout import Readout
from bntt.nn.fusion.untouched import PARAMETRIZED, why_touched
from bntt.nn.network.classifier import check_network
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, Rectifier
from bntt.nn.norms.methods import NoNorm
from bntt.ops.lif import FireRule, Reset, fire_after, soft_reset


def convert(
    ann: SpikingNetwork | nn.Sequential, *, reset: Reset = soft_reset, rule: FireRule = fire_after
) -> SpikingNetwork:
    """Convert an ANN to a spiking network with its weights: integrators (leak 1) with threshold 1, until balanced.

    Args:
        ann: one of our networks with ``neuron="relu"``; or an ``nn.Sequential`` of convolutions, fully connected
            layers, ReLU, average pooling, flattening and dropout. There, batch normalisation directly after weights is
            folded into them as it evaluates, which gives them a bias; weights may have one.
        reset: ``soft_reset`` (Han et al. 2020) keeps the excess over the threshold; ``hard_reset`` is the older form.
        rule: the firing rule.

    Returns:
        A copy, in evaluation mode: an ordinary network, which takes any number of steps and runs fused.

    Raises:
        ValueError: if a part cannot be converted, such as max pooling, a norm elsewhere or a residual connection; the
            message names it, and a remedy.

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
    check_network(ann, "convert", " or an nn.Sequential")
    for name, block in ann.blocks.items():
        if why := _why_not(block):
            raise ValueError(f"layer {name!r} cannot be converted: {why}")
    if type(ann.readout) is not Readout:
        raise ValueError(f"the readout is a {type(ann.readout).__name__}, only a Readout can be converted")
    made = copy.deepcopy(ann)
    for block in made.blocks.values():
        block.lif = LIF(1.0, rule=rule, reset=reset)
        block.synapse = copy.deepcopy(block.synapse)  # of its own: balancing scales each layer's bias
    made.readout.synapse = copy.deepcopy(made.readout.synapse)
    return made.eval()


def _why_not(block: nn.Module) -> str:
    """Return why a block of one of our ANNs cannot be converted; "" if it can."""
    if type(block) is not SpikingBlock:
        return f"it is a {type(block).__name__}: conversion supports only chains of layers"
    if type(block.lif) is not Rectifier:
        return f"its neurons are {type(block.lif).__name__}, an ANN's rectify: build it with neuron='relu'"
    if type(block.norm) is not NoNorm:
        return f"its norm is {type(block.norm).__name__}: train it with norm='none'"
    if any(isinstance(part, nn.MaxPool2d | nn.AdaptiveMaxPool2d) for part in block.pool.modules()):
        return "max pooling has no counterpart in spikes: train it with average pooling"
    if block.dropout is not None and type(block.dropout) is not SpikeDropout:
        return f"its dropout is {type(block.dropout).__name__}"
    return why_touched(block.lif)


Weights = nn.Conv2d | nn.Linear
BETWEEN = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)
"""Modules that do nothing in evaluation."""
READ = (nn.Sequential, nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, *BETWEEN, *NOTHING)
"""Modules whose forward conversion knows."""
WAY_OUT: dict[type[nn.Module], str] = {
    nn.MaxPool2d: "takes a maximum, which has no counterpart in spikes: train with average pooling",
    nn.AdaptiveMaxPool2d: "takes a maximum, which has no counterpart in spikes: train with average pooling",
    nn.BatchNorm1d: "can only be folded directly after weights: put it between them and the ReLU",
    nn.BatchNorm2d: "can only be folded directly after weights: put it between them and the ReLU",
    nn.Softmax: "has no weights: leave it out, the order of the classes stays",
    nn.LogSoftmax: "has no weights: leave it out, the order of the classes stays",
}


class ReadLayer(NamedTuple):
    """A hidden layer."""

    name: str
    """Name of its weights, with dots replaced by underscores."""
    synapse: nn.Module
    pool: nn.Module | None
    """Pooling after its ReLU."""


def read_sequential(ann: nn.Sequential) -> tuple[list[ReadLayer], nn.Module]:
    """Read copies of the hidden layers in order, and the last weights, with batch normalisation folded in."""
    parts = list(_parts(ann, ""))
    layers, before, at = list[ReadLayer](), list[nn.Module](), 0
    while at < len(parts):
        name, part = parts[at]
        if isinstance(part, BETWEEN):
            before.append(part)
            at += 1
            continue
        if not isinstance(part, Weights):
            raise _cannot(name, part)
        weights, at = _folded(parts, at)
        synapse = nn.Sequential(*before, weights) if before else weights
        if at == len(parts):
            if not layers:
                raise ValueError(f"the ANN of {len(ann)} parts has no hidden layer, weights with a ReLU after them")
            return layers, synapse
        name_after, after = parts[at]
        if not isinstance(after, nn.ReLU):
            raise _cannot(name_after, after, f"follows the weights {name!r}, where a ReLU must be")
        before, at = list[nn.Module](), at + 1
        while at < len(parts) and isinstance(parts[at][1], BETWEEN):
            before.append(parts[at][1])
            at += 1
        pool = nn.Sequential(*before) if len(before) > 1 else (before[0] if before else None)
        if (taken := name.replace(".", "_")) in [one.name for one in layers]:
            raise ValueError(f"{name!r} and another part would both be layer {taken!r}: give one another name")
        layers.append(ReadLayer(taken, synapse, pool))
        before = []
    raise ValueError("the ANN ends without an output layer: its last part must be weights, nn.Linear or nn.Conv2d")


def _parts(module: nn.Sequential, under: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield a copy of every module that does something in evaluation, in order; one used twice is yielded twice."""
    for name, part in module.named_modules(remove_duplicate=False):
        own = not type(part).forward.__module__.startswith("torch.")
        if isinstance(part, READ) and (own or why_touched(part) not in ("", PARAMETRIZED)):
            place = f"{under}{name}".rstrip(".") or "the ANN"
            raise _cannot(place, part, "has a hook or a forward of its own, which would be lost")
        if not name or "." in name:
            continue
        if isinstance(part, nn.Sequential):
            yield from _parts(part, f"{under}{name}.")
        elif not isinstance(part, NOTHING):
            yield f"{under}{name}", copy.deepcopy(part).eval()


def _folded(parts: list[tuple[str, nn.Module]], at: int) -> tuple[Weights, int]:
    """Return the weights at a place, with the batch normalisation after them folded in, and the next place."""
    before, weights = parts[at]
    assert isinstance(weights, Weights)
    if at + 1 == len(parts) or not isinstance(norm := parts[at + 1][1], nn.BatchNorm1d | nn.BatchNorm2d):
        return weights, at + 1
    if why := why_touched(weights):
        way = "torch.nn.utils.parametrize.remove_parametrizations first"
        raise _cannot(before, weights, f"{why}, and {parts[at + 1][0]!r} would be folded into it: {way}")
    if norm.running_mean is None:
        raise ValueError(
            f"{parts[at + 1][0]!r}, a {type(norm).__name__}, has no running statistics to fold into {before!r}: "
            f"train it with track_running_stats=True"
        )
    for name, value in (("weight", 1.0), ("bias", 0.0)):  # a copy; after nn.Linear, PyTorch's function needs them
        if getattr(norm, name) is None:
            setattr(norm, name, nn.Parameter(torch.full_like(norm.running_mean, value)))
    folded: Weights = (
        fuse_conv_bn_eval(weights, norm) if isinstance(weights, nn.Conv2d) else fuse_linear_bn_eval(weights, norm)
    )
    return folded, at + 2


def _cannot(name: str, part: nn.Module, why: str = "") -> ValueError:
    known = next((way for kind, way in WAY_OUT.items() if isinstance(part, kind)), "")
    why = known or why or "is not weights, ReLU, average pooling or flattening: take one of these"
    return ValueError(f"{name!r}, a {type(part).__name__}, cannot be converted: it {why}")

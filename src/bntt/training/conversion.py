"""ANN-SNN conversion: the weights of a trained ANN drive integrators (Sengupta et al. 2019).

A neuron without leak that is driven by ``a`` at every step fires at the rate ``a / θ``, from 0 to 1: a rectifier in
units of its threshold. A plain ``nn.Sequential`` of weights, ReLU and average pooling is read as the layers of a
network. Thresholds are balanced ("Spike-Norm") for the layers l = 1, 2, ... in order, with the earlier ones set:

    θ_l = max over samples, units and steps of the weighted input Σ w o (+ b) of layer l.

Then every threshold is multiplied by one factor (Han et al. 2020 take one below 1 with the soft reset; Rathi et al.
2020 take 0.7 before they train). A rate of layer l is an activation divided by θ_1 ··· θ_l, so a bias of layer l is
divided by θ_1 ··· θ_{l-1}: ``b_l θ_1 ··· θ_{l-1}`` is the ANN's, whatever the thresholds are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

from bntt.nn.blocks import Readout, SpikeDropout, SpikingBlock
from bntt.nn.call import Call, evaluating
from bntt.nn.encoders import Encoder
from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_network
from bntt.nn.network.labelled_batch import Loader, samples
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, Rectifier
from bntt.nn.norms import NoNorm
from bntt.nn.untouched import PARAMETRIZED, own_tensor, why_touched
from bntt.ops.lif import FireRule, Neuron, Reset, fire_after, soft_reset
from bntt.training.processes import Processes, check_share


def convert(
    ann: SpikingNetwork | nn.Sequential, *, reset: Reset = soft_reset, rule: FireRule = fire_after
) -> SpikingNetwork:
    """Return a spiking network, in evaluation mode, with an ANN's weights: integrators (leak 1) with threshold 1.

    Args:
        ann: one of our networks with ``neuron="relu"``; or an ``nn.Sequential`` of convolutions, fully connected
            layers, ReLU, average pooling, flattening and dropout. There, batch normalisation directly after weights is
            folded into them as it evaluates, which gives them a bias; weights may have one.
        reset: ``soft_reset`` (Han et al. 2020) keeps the excess over the threshold; ``hard_reset`` is the older form.
        rule: the firing rule.

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
            name: SpikingBlock(synapse, NoNorm(), LIF(1.0, rule=rule, reset=reset), pool)
            for name, synapse, pool in layers
        }
        return SpikingNetwork(blocks, Readout(readout)).eval()
    check_network(ann, "convert", " or an nn.Sequential")
    refused = {f"layer {name!r}": why for name, block in ann.blocks.items() if (why := _why_not(block))}
    if type(ann.readout) is not Readout:
        refused["the readout"] = f"it is a {type(ann.readout).__name__}, no Readout"
    if refused:
        place, why = next(iter(refused.items()))
        raise ValueError(f"{place} cannot be converted: {why}")
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
    if any(isinstance(part, MAXIMA) for part in block.pool.modules()):
        return "max pooling has no counterpart in spikes: train it with average pooling"
    if block.dropout is not None and type(block.dropout) is not SpikeDropout:
        return f"its dropout is {type(block.dropout).__name__}"
    return why_touched(block.lif)


Weights = nn.Conv2d | nn.Linear
BETWEEN = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)
"""Modules that do nothing in evaluation."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
READ = (nn.Sequential, nn.Conv2d, nn.Linear, nn.ReLU, *NORMS, *BETWEEN, *NOTHING)
"""Modules whose forward conversion knows."""
MAXIMA = (nn.MaxPool2d, nn.AdaptiveMaxPool2d)


def read_sequential(ann: nn.Sequential) -> tuple[list[tuple[str, nn.Module, nn.Module | None]], nn.Module]:
    """Read copies of the hidden layers (name, weights, pooling) and the last weights, batch normalisation folded in."""
    weights, pools = list[tuple[str, nn.Module]](), [list[nn.Module]()]  # pools: before the first ReLU, after each
    is_open, folded = False, False
    for name, part in list(_parts(ann, "")):
        if not is_open and isinstance(part, BETWEEN):
            pools[-1].append(part)
        elif not is_open and isinstance(part, Weights):
            weights.append((name, part))
            is_open, folded = True, False
        elif is_open and isinstance(part, NORMS) and not folded:
            before, synapse = weights.pop()
            weights.append((before, _folded(before, synapse, name, part)))
            folded = True
        elif is_open and isinstance(part, nn.ReLU):
            pools.append([])
            is_open = False
        else:
            place = f"follows the weights {weights[-1][0]!r}, where a ReLU must be"
            raise _cannot(name, part, place if is_open else "is not weights, ReLU, average pooling or flattening")
    hidden, (first, *pools) = weights[:-1], pools
    names = [name.replace(".", "_") for name, _ in hidden]
    twice = next((name for name in names if names.count(name) > 1), "")
    if not is_open:
        raise ValueError("the ANN ends without an output layer: its last part must be weights")
    if not hidden:
        raise ValueError("the ANN has no hidden layer, weights with a ReLU after them")
    if twice:
        raise ValueError(f"the ANN has two parts that would both be layer {twice!r}: give one another name")
    synapses = [synapse for _, synapse in hidden]
    synapses[0] = nn.Sequential(*first, synapses[0]) if first else synapses[0]
    after = [nn.Sequential(*pool) if len(pool) > 1 else next(iter(pool), None) for pool in pools]
    return list(zip(names, synapses, after, strict=True)), weights[-1][1]


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


def _folded(name: str, weights: Any, norm_name: str, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    """Return the weights with the batch normalisation after them folded in."""
    if why := why_touched(weights):
        raise _cannot(name, weights, f"{why}, and {norm_name!r} would be folded into it")
    if norm.running_mean is None:
        raise _cannot(norm_name, norm, "has no running statistics")
    for part, value in (("weight", 1.0), ("bias", 0.0)):  # a copy; after nn.Linear, PyTorch's function needs them
        if getattr(norm, part) is None:
            setattr(norm, part, nn.Parameter(torch.full_like(norm.running_mean, value)))
    return fuse_conv_bn_eval(weights, norm) if isinstance(weights, nn.Conv2d) else fuse_linear_bn_eval(weights, norm)


def _cannot(name: str, part: nn.Module, why: str) -> ValueError:
    return ValueError(f"{name!r}, a {type(part).__name__}, cannot be converted: it {why}")


BALANCING = 1 << 31
"""Noise draw used to balance thresholds: neither a training epoch's nor an evaluation's."""

AT_ONCE = 5
"""Steps per pass: convolution outputs never exist for more at once."""


def balance(
    network: SpikingNetwork,
    encoder: Encoder,
    batches: Loader,
    *,
    scale: float = 1.0,
    seed: int = 0,
    draw: int = BALANCING,
    progress: Callable[[int], None] = lambda samples: None,
) -> dict[str, float]:
    """Return the scaled threshold of every layer by name, and set it; earlier thresholds do not matter.

    Args:
        network: a chain of blocks without norms, as :func:`~bntt.training.convert` makes it.
        encoder: encoder of the samples; its T is the number of steps used.
        batches: batches of training samples; labels are ignored.
        scale: factor on all thresholds, above 0.
        seed, draw: seed and draw of the encoder's noise.
        progress: called with the number of samples of every finished batch, once per layer.

    Raises:
        ValueError: if there are no samples, a layer's weighted input is never above 0, the network has parts that
            cannot be balanced, or the scale is not a number above 0.

    >>> from bntt.models import mlp
    >>> from bntt.nn import DirectEncoder
    >>> network = convert(mlp(in_features=4, hidden=(8, 8), num_steps=1, norm="none", neuron="relu"))
    >>> images = [(torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(5).long())]
    >>> thresholds = balance(network, DirectEncoder(20), images, scale=0.7)
    >>> list(thresholds), thresholds["fc1"] == network.blocks["fc1"].lif.neuron.threshold
    (['fc1', 'fc2'], True)
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"the scale of the thresholds must be a number above 0, got {scale}")
    found = {name: scale * most for name, most in balancing(network, encoder, batches, progress, seed=seed, draw=draw)}
    set_thresholds(network, found, biases=True)
    return found


def balancing(
    network: SpikingNetwork, encoder: Encoder, batches: Loader, progress: Callable[[int], None], **noise: int
) -> Iterator[tuple[str, float]]:
    """Set the threshold of one layer after another, and yield each as it is found."""
    check_network(network, "balance")
    check_share(batches, Processes())
    for name, block in network.blocks.items():
        if why := _why_not_balanced(block):
            raise ValueError(f"layer {name!r} {why}")
    set_thresholds(network, dict.fromkeys(network.blocks, 1.0), biases=True)
    thresholds, before = dict.fromkeys(network.blocks, 1.0), dict[str, Any]()
    with evaluating(network):
        for name, block in network.blocks.items():
            up_to = SpikingNetwork(before, _Largest(block.synapse), compute=network.compute).eval()  # type: ignore[arg-type]
            before[name], model = block, SpikingClassifier(encoder, up_to)
            largest = _largest(model, batches, {"draw": BALANCING, **noise}, progress)
            if not 0 < largest < math.inf:
                why = "the ANN's layer is dead" if largest <= 0 else "weights or samples are not finite, or too large"
                raise ValueError(f"the largest weighted input of layer {name!r} is {largest:.4g}: {why}")
            thresholds[name] = largest
            set_thresholds(network, thresholds, biases=True)
            yield name, largest


@torch.no_grad()
def set_thresholds(network: SpikingNetwork, thresholds: Mapping[str, float], *, biases: bool = False) -> None:
    """Set the threshold of the neurons of every layer.

    Args:
        network: changed in place.
        thresholds: thresholds of all layers, by name.
        biases: also scale every bias, so that it stays the same in units of its layer's rates.

    Raises:
        ValueError: if the layers are not the network's, a threshold is not above 0, layers that share neurons get
            different ones, or a bias to scale is parametrized; nothing is changed then.
        TypeError: if a layer's neurons have no one threshold.

    >>> from bntt.models import mlp
    >>> network = mlp(in_features=4, hidden=(8,), num_steps=3, norm="none")
    >>> set_thresholds(network, {"fc1": 2.5})
    >>> network.blocks["fc1"].lif.neuron.threshold
    2.5
    """
    check_network(network, "set_thresholds")
    neurons = _neurons(network)
    if neurons.keys() != thresholds.keys():
        raise ValueError(f"the thresholds are of layers {list(thresholds)}, the network has {list(neurons)}")
    each: dict[Any, float] = {}
    for name, lif in neurons.items():
        if (other := each.setdefault(lif, thresholds[name])) != thresholds[name]:
            raise ValueError(f"layer {name!r} shares its neurons: they cannot have {other} and {thresholds[name]}")
    made = {name: replace(lif.neuron, threshold=float(thresholds[name])) for name, lif in neurons.items()}
    factor = 1.0
    if biases:
        _scale_bias(network, 1.0)  # changes nothing, and refuses a bias that it could not
    for name, lif in neurons.items():
        if biases:
            _scale_bias(network.layers[name].synapse, factor)
            factor *= lif.neuron.threshold / made[name].threshold
        lif.neuron = made[name]
    if biases:
        _scale_bias(network.readout, factor)


def thresholds_of(network: SpikingNetwork) -> dict[str, float]:
    """Return the threshold of every layer's neurons, by layer.

    Args:
        network: every layer has one threshold, as :class:`~bntt.nn.LIF` has; folded networks have tables.

    >>> from bntt.models import mlp
    >>> thresholds_of(mlp(in_features=4, hidden=(8,), num_steps=3))
    {'fc1': 1.0}
    """
    check_network(network, "thresholds_of")
    return {name: float(lif.neuron.threshold) for name, lif in _neurons(network).items()}


def _neurons(network: SpikingNetwork) -> dict[str, Any]:
    found = {name: layer.lif for name, layer in network.layers.items() if layer.lif is not None}
    for name, lif in found.items():
        if not isinstance(getattr(lif, "neuron", None), Neuron):
            raise TypeError(f"layer {name!r} has {type(lif).__name__} neurons, which have no one threshold as LIF has")
    return found


def _scale_bias(module: nn.Module | None, factor: float) -> None:
    for part in () if module is None else module.modules():
        if isinstance(getattr(part, "bias", None), Tensor):
            own_tensor(part, "bias").mul_(factor)


def _why_not_balanced(block: Any) -> str:
    """Return why a block's threshold cannot be balanced; "" if it can."""
    if type(block) is not SpikingBlock or type(block.lif) is not LIF:
        kind = type(block.lif if type(block) is SpikingBlock else block).__name__
        return f"has no threshold to balance: it is a {kind}"
    if why := why_touched(block):
        return f"{why}, and its weights are balanced by themselves: remove it"
    if not norm_facts(block.norm).identity:
        return f"has a {type(block.norm).__name__}, and thresholds are balanced without norms: take norm='none'"
    if block.lif.neuron.decay_input:
        return "decays its input, and thresholds are balanced with the input as it is: take decay_input=False"
    return ""


class _Largest(nn.Module):
    """A readout that returns the largest weighted input of each sample in each step, ``[S, B, 1]``."""

    def __init__(self, synapse: nn.Module) -> None:
        super().__init__()
        self.synapse = synapse

    def forward(self, x: Tensor, call: Call = Call(), state: None = None) -> tuple[Tensor, None]:
        return torch.stack([self.synapse(step).flatten(1).amax(1, keepdim=True) for step in x]), None


@torch.no_grad()
def _largest(
    model: SpikingClassifier, batches: Loader, noise: Mapping[str, Any], progress: Callable[[int], None]
) -> float:
    """Return the largest output of the last weights over all samples, units and steps; NaN if any is."""
    largest, total = torch.tensor(-math.inf, dtype=torch.float64), model.encoder.num_steps
    device = next(model.network.parameters()).device
    for inputs, _, index in samples(batches, 0):
        inputs, state, rest = inputs.to(device), None, {**noise, "index": index}
        for first in range(0, total, AT_ONCE):
            found, state = model.advance(inputs, state, steps=min(AT_ONCE, total - first), **rest)
            largest, rest = torch.maximum(largest, found.max().cpu()), {}
        progress(len(inputs))
    if largest == -math.inf:
        raise ValueError("there are no samples to balance the thresholds with")
    return float(largest)

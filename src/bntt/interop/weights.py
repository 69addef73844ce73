"""Export of weights: our network as another network's state dict, the inverse of :mod:`bntt.training.foreign`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bntt.nn.kinds import block_facts, norm_facts
from bntt.nn.network.classifier import check_network
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.registry import Registry
from bntt.training.foreign import COUNT, NORM, WRAPPER, is_wrapped, norm_of_released, read_foreign

LAYOUTS: Registry[str] = Registry(
    "layout", {"authors": "released", "spikingjelly": "spikingjelly", "snntorch": "snntorch"}
)
"""Layouts that ``to_state_dict`` writes, by the name under which ``bntt import`` reads them."""


def to_state_dict(
    network: SpikingNetwork, layout: str, *, like: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return a network's weights, γ and statistics under another network's names, T batch normalisations per layer.

    ``bntt import`` reads the same numbers back. A state dict holds neither ε, the leak nor the firing rule: build the
    other network with ours (the authors' ε is 1e-4, as is ours; SpikingJelly's and snnTorch's is 1e-5).

    Args:
        network: a chain of SpikingBlocks of a bare layer and a BNTT; the authors' are conv1, ..., fc1.
        layout: "authors" (the released code), "spikingjelly" or "snntorch".
        like: the state dict of the other network, which gives the names in the order of its layers; its other entries,
            constants of neurons, stay as they are. Without it, layers are named after ours.

    Raises:
        ValueError: on an unknown layout, on parts that such a network does not have, or on shapes unlike ``like``'s.
        CheckpointError: if ``like`` is not a state dict of this kind of network.

    >>> from bntt.models import vgg6
    >>> state = to_state_dict(vgg6(width=0.25, num_steps=2), "authors")
    >>> [name for name in state if name.startswith("bntt_fc.1")]
    ['bntt_fc.1.weight', 'bntt_fc.1.running_mean', 'bntt_fc.1.running_var', 'bntt_fc.1.num_batches_tracked']
    """
    check_network(network, "to_state_dict")
    theirs = LAYOUTS.resolve(layout)
    weights, norms = _parts(network)
    prefix = WRAPPER * is_wrapped(like or {})
    names = _names(theirs, [*norms])
    if like is not None:
        foreign = read_foreign(like, theirs)
        if theirs != "released":  # whose names say which layer is which, in any order
            names = [*foreign.synapses], [*foreign.norms]
        pairs = [("steps", norm.num_steps, foreign.num_steps) for norm in norms.values()]
        pairs += [("weights", len(weights), len(foreign.synapses)), ("norms", len(norms), len(foreign.norms))]
        for what, own, other in pairs:
            if own != other:
                raise ValueError(f"the network has {own} {what}, theirs {other}")
    found = {name: weight.detach().clone() for name, weight in zip(names[0], weights, strict=True)}
    for name, norm in zip(names[1], norms.values(), strict=True):
        for t in range(norm.num_steps):
            for key, rows in zip(NORM, (norm.gamma, norm.running_mean, norm.running_var), strict=True):
                found[f"{name}.{t}.{key}"] = rows[t].detach().clone()
            found[f"{name}.{t}.{COUNT}"] = torch.tensor(0)
    if like is None:
        return found
    found = {prefix + name: value for name, value in found.items()}
    if wrong := [name for name, value in found.items() if name not in like or like[name].shape != value.shape]:
        raise ValueError(f"{len(wrong)} entries are missing in theirs, or have other shapes: {wrong[0]}")
    return {name: found.get(name, value) for name, value in like.items()}


def _parts(network: SpikingNetwork) -> tuple[list[Tensor], dict[str, Any]]:
    """Return the weights in order, the readout's last, and the norm of every block."""
    norms, rows = dict[str, Any](), list[tuple[str, Any, str]]()
    parts: dict[str, Any] = dict(network.blocks.items())
    for name, block in parts.items():
        norm: Any = block.norm if block_facts(block).form == "layer" and block.lif is not None else None
        has, why = norm_facts(norm).running_statistics, ""
        if not has or dict(norm.step_tables()).keys() != {"gamma", "running_mean", "running_var"} or norm.scale != 1:
            why = "has no BNTT"
        elif list(block.lif.parameters()):
            why = "has neurons that learn"
        rows.append((f"block {name!r}", block.synapse, why))
        norms[name] = norm
    readout: Any = network.readout
    why = "counts spikes" if getattr(readout, "lif", None) is not None else ""
    rows.append(("the readout", getattr(readout, "synapse", readout), why))
    for part, synapse, why in rows:
        bare = isinstance(getattr(synapse, "weight", None), Tensor) and getattr(synapse, "bias", None) is None
        if why or not bare:
            theirs = "bare layers without bias, BNTT, neurons that do not learn, and a readout of voltage"
            why = why or "has other weights than one layer without bias"
            raise ValueError(f"{part} {why}: these networks have {theirs}")
    return [synapse.weight for _, synapse, _ in rows], norms


def _names(layout: str, blocks: list[str]) -> tuple[list[str], list[str]]:
    """Return the names of the weights, the readout's last, and those of the norms."""
    if layout != "released":
        inside = ".bn_list" * (layout == "spikingjelly")
        return [f"{name}.weight" for name in [*blocks, "readout"]], [f"{name}_norm{inside}" for name in blocks]
    if wrong := [name for name in blocks if not re.fullmatch(r"conv\d+|fc1", name)]:
        raise ValueError(f"the authors' networks have conv1, conv2, ... and fc1, this one {wrong[0]!r}")
    return [f"{name}.weight" for name in [*blocks, "fc2"]], [norm_of_released(name) for name in blocks]

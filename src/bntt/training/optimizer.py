"""PyTorch's optimisers, with separate decay of weights and γ."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn, optim

from bntt.nn.network.classifier import check_classifier
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.training.method import PAPER, Method


def optimizer_of(model: nn.Module, method: Method = PAPER) -> optim.Optimizer:
    """Return the method's optimiser for a model.

    It has three groups, each with its own decay (empty ones are omitted): synaptic weights and biases
    (``weight_decay``); γ, β and p_t, everything that a norm learns (``gamma_decay``); learnable leaks (no decay: a
    decayed logit pulls λ to 1/2).

    Args:
        model: the network or classifier to train.
        method: the training method; the paper's by default.

    >>> from bntt.models import mlp
    >>> groups = optimizer_of(mlp(in_features=2, hidden=(3,), num_steps=2), Method(gamma_decay=0.0)).param_groups
    >>> [group["weight_decay"] for group in groups]
    [0.0005, 0.0]
    """
    groups: dict[str, list[nn.Parameter]] = {"weights": [], "gamma": [], "leaks": []}
    kinds = _kinds(model)
    for parameter in model.parameters():
        groups[kinds.get(id(parameter), "weights")].append(parameter)
    decays = {"weights": method.weight_decay, "gamma": method.gamma_decay, "leaks": 0.0}
    listed = [{"params": groups[name], "weight_decay": decays[name]} for name in decays if groups[name]]
    if method.optimizer == "sgd":
        return optim.SGD(listed, lr=method.lr, momentum=method.momentum, nesterov=method.nesterov)
    adam = optim.Adam if method.optimizer == "adam" else optim.AdamW
    return adam(listed, lr=method.lr, betas=(method.momentum, method.beta2), amsgrad=method.amsgrad)


def freeze(network: SpikingNetwork, layers: Sequence[str], optimizer: optim.Optimizer | None = None) -> None:
    """Exclude layers, by name or pattern, from a network's training."""
    parts: dict[str, nn.Module] = {**network.blocks, "readout": network.readout}
    chosen = {pattern: fnmatch.filter(parts, pattern) for pattern in layers}
    if unknown := [pattern for pattern, names in chosen.items() if not names]:
        raise ValueError(f"freeze: {unknown[0]!r} is no layer, there are {', '.join(parts)}")
    held = {parameter for names in chosen.values() for name in names for parameter in parts[name].parameters()}
    learn = network.parameters() if optimizer is None else stepped(optimizer)
    if layers and not any(one.requires_grad and one not in held for one in learn):
        raise ValueError(f"freeze: {list(layers)} leaves nothing to train")
    for parameter in held:
        parameter.requires_grad_(False)


def _kinds(model: nn.Module) -> dict[int, str]:
    """Return the kind of every parameter of norms and neurons, user-defined ones included, by its id."""
    found: dict[int, str] = {}
    for network in model.modules():
        if isinstance(network, SpikingNetwork):
            for layer in (*network.layers.values(), network.readout):
                for name, kind in (("norm", "gamma"), ("lif", "leaks")):
                    part = getattr(layer, name, None)
                    found |= dict.fromkeys(map(id, part.parameters() if isinstance(part, nn.Module) else ()), kind)
    return found


def stepped(optimizer: optim.Optimizer) -> list[Tensor]:
    """Return the parameters that an optimiser steps, in its order; other parameters of a model stay unchanged."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def optimizer_state(optimizer: optim.Optimizer, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of any PyTorch optimiser: tensors as ``weight.momentum_buffer``, and facts for JSON."""
    held, names = optimizer.state_dict(), _names(optimizer, model)
    tensors, numbers = dict[str, Tensor](), dict[str, dict[str, Any]]()
    for place, state in held["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{names[place]}.{key}"] = value
            elif value is not None:
                numbers.setdefault(names[place], {})[key] = value
    groups = [
        {key: value.item() if isinstance(value, Tensor) else value for key, value in group.items()}
        for group in held["param_groups"]
    ]
    return tensors, {"groups": groups, "state": numbers, "names": _by_group(optimizer, names)[1]}


def others(optimizer: optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that an optimiser steps outside a model, as one of your own loss, by name, detached."""
    within, names = set(model.parameters()), _names(optimizer, model)
    return {names[place]: one.detach() for place, one in enumerate(stepped(optimizer)) if one not in within}


def restored_state(
    optimizer: optim.Optimizer,
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    method: Method | None = None,
) -> dict[str, Any]:
    """Convert that state to the form of ``load_state_dict``; refuse other parameters, or settings of another method."""
    names = _names(optimizer, model)
    places, ours = _by_group(optimizer, names)
    shapes = dict(zip(names.values(), (one.shape for one in stepped(optimizer)), strict=True))
    held: dict[str, dict[str, Any]] = {name: dict(state) for name, state in facts["state"].items()}
    wrong, fixed = [], {"initial_lr", "decoupled_weight_decay"}  # the second tells AdamW from Adam
    if method is not None:
        fixed |= {"weight_decay", "nesterov", "amsgrad"}
        fixed |= {"momentum", "betas"} if method.schedule != "one-cycle" else set()
    for name, value in tensors.items():
        owner, _, key = name.rpartition(".")
        held.setdefault(owner, {})[key] = value.clone()  # an optimiser would use the tensor itself
        whole = shapes.get(owner, value.shape)  # moments are of a parameter, or of its rows or columns, as Adafactor's
        sizes = zip(value.shape, whole, strict=False)
        if value.ndim and (value.ndim != len(whole) or any(size not in (1, of) for size, of in sizes)):
            wrong.append(f"{name} is {list(value.shape)}, the parameter is {list(whole)}")
    wrong += [f"{name} is no parameter of this optimiser" for name in held.keys() - shapes.keys()]
    theirs = facts.get("names", ours)  # the groups of an older state are taken by position
    known = dict(zip(map(tuple, theirs), facts["groups"], strict=False))
    groups = [dict(known[group]) for group in map(tuple, ours) if group in known]
    for group in groups:
        group |= {"betas": tuple(group["betas"])} if "betas" in group else {}  # JSON has lists
    counts = [len(group["params"]) for group in facts["groups"]]
    if len(counts) != len(ours) or [len(group["params"]) for group in groups] != [len(group) for group in ours]:
        other = [f"{', '.join(group[:3])}, ..." for group in theirs if group not in ours]
        wrong.append(f"it has groups of {counts} parameters, none here steps just {'; '.join(other) or 'so many'}")
    for now, then in zip(optimizer.param_groups, groups, strict=False):
        if now.keys() != then.keys():
            wrong.append(f"another kind of optimiser has {', '.join(sorted(now.keys() ^ then.keys()))}")
        wrong += [
            f"it was trained with {key} {then[key]}, this training has {now[key]}"
            for key in sorted(then.keys() & now.keys() & fixed)
            if then[key] != now[key]
        ]
    if wrong:
        raise ValueError(f"the optimiser's state does not fit: {'; '.join(sorted(wrong)[:5])}")
    for now, group, its in zip(optimizer.param_groups, groups, places, strict=True):
        group["params"] = its
        group |= {key: now[key].new_tensor(value) for key, value in group.items() if isinstance(now[key], Tensor)}
    return {"state": {i: held[name] for i, name in names.items() if name in held}, "param_groups": groups}


def _names(optimizer: optim.Optimizer, model: nn.Module) -> dict[int, str]:
    """Return the names of the optimiser's parameters by number."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {number: names.get(id(parameter), f"other{number}") for number, parameter in enumerate(stepped(optimizer))}


def _by_group(optimizer: optim.Optimizer, names: Mapping[int, str]) -> tuple[list[list[int]], list[list[str]]]:
    """Return the numbers of the parameters of every group, and their sorted names."""
    places = [group["params"] for group in optimizer.state_dict()["param_groups"]]
    return places, [sorted(names[place] for place in group) for group in places]


def check_given(model: nn.Module, method: Method | None, optimizer: optim.Optimizer | None) -> None:
    """Refuse a wrong model, method or optimizer."""
    check_classifier(model, "fit and Session train")
    for name, given, kind in (("method", method, Method), ("optimizer", optimizer, optim.Optimizer)):
        if given is not None and not isinstance(given, kind):
            raise TypeError(f"{name} must be of class {kind.__name__}, or left out, got {type(given).__name__}")
    learns = {parameter for parameter in model.parameters() if parameter.requires_grad}
    if optimizer is not None and learns and not learns & set(stepped(optimizer)):
        raise ValueError("the optimizer steps no parameter of the model that learns: make it of model.parameters()")

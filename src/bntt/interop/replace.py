"""Replacement of the batch normalisation in any network by a norm with time."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from bntt.interop.adapters import Cell, Layer, Step
from bntt.nn.kinds import NormBuilder, norm_builder, norm_facts
from bntt.nn.untouched import own_tensor, why_touched

BATCHNORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
FOLDS = {"SeqToANNContainer", "TLastSeqToANNContainer"}
"""SpikingJelly's containers, whose parts see [T·N, ...]."""
PLAIN = ("torch", "spikingjelly")
"""Packages whose forward of a batch normalisation does what its name says."""


def replace_batchnorm(
    network: nn.Module,
    num_steps: int,
    *,
    norm: str | NormBuilder = "bntt",
    loop: Literal["outside", "inside"] = "outside",
) -> nn.Module:
    """Replace every ``BatchNorm1d``, ``2d`` and ``3d`` of a network by a norm with time, in place.

    γ, mean and variance are copied to every step, and ε, momentum, device, dtype and mode too, so that in evaluation
    the network's output is unchanged. β is copied if the norm has one; a norm without β refuses a β that is not 0.

    To restart the steps:

    * SpikingJelly's network, in either step mode: with ``functional.reset_net(network)``;
    * Norse's: with ``state=None``; a ``Lift`` of a BatchNorm takes all steps of its call;
    * snnTorch's, plain PyTorch's, or a loop of your own over Norse's cells: with ``bntt.interop.reset(network)`` if the
      loop over time is around the network; with ``loop="inside"``, for a loop in the network's forward, every call
      restarts them.

    Args:
        network: the network whose parts are replaced; if one of them is refused, none is replaced.
        num_steps: T.
        norm: a name in ``bntt.nn.NORMS`` with running statistics, or ``(channels, num_steps, threshold) -> norm``;
            "bntt-beta" is BNTT with β.
        loop: place of the loop over time, for snnTorch and plain PyTorch.

    Returns:
        The network.

    Raises:
        ValueError: if it has no batch normalisation; or naming one that cannot be replaced: with a β if the norm has
            none, without running statistics, used twice, with a hook or a forward of its own, or in a container that
            folds time; on a loop that is neither.
        TypeError: if the norm has no running statistics.

    >>> network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
    >>> replace_batchnorm(network, num_steps=5)[1]
    Step(
      (norm): BNTT(channels=8, num_steps=5)
    )
    """
    if loop not in ("outside", "inside"):
        raise ValueError(f"loop is 'outside' or 'inside' (the network's forward), got {loop!r}")
    build = norm_builder(norm)
    homes = {kind.__module__.partition(".")[0] for module in network.modules() for kind in type(module).__mro__}
    found: dict[str, nn.Module] = {}
    seen: dict[nn.Module, str] = {}
    for name, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, BATCHNORM):
            _check(name, module, network, seen.setdefault(module, name))
            place, _, last = name.rpartition(".")
            parent: Any = network.get_submodule(place)
            lifted = last == "lifted_module" and type(parent).__module__.startswith("norse.")
            made = _filled(name, module, build(module.num_features, num_steps, 1.0))
            if "spikingjelly" in homes:
                from bntt.interop.spikingjelly import Norm

                part: nn.Module = Norm(made, getattr(module, "step_mode", "s"))
            elif lifted:
                part = Layer(made, time_first=True)
            else:
                part = Cell(made) if hasattr(parent, "stateful_layers") else Step(made)
            found[place if lifted else name] = part
    if not found:
        raise ValueError(f"there is no BatchNorm1d, 2d or 3d inside this {type(network).__name__}")
    for name, part in found.items():
        place, _, last = name.rpartition(".")
        parent = network.get_submodule(place)
        setattr(parent, last, part)
        if isinstance(part, Cell):  # SequentialState looked when it was built
            parent.stateful_layers[[name for name, _ in parent.named_children()].index(last)] = True
    if "spikingjelly" in homes:
        from spikingjelly.activation_based import functional

        functional.invalidate_reset_cache(network)
    if loop == "inside":
        network.register_forward_pre_hook(_begin)
    return network


def _begin(network: nn.Module, _: Any) -> None:
    for module in network.modules():
        if isinstance(module, Step):
            module.reset()


def _check(name: str, norm: Any, network: nn.Module, first: str) -> None:
    """Refuse a batch normalisation that no norm with time can replace."""
    parents = [network, *(network.get_submodule(name[:end]) for end, sign in enumerate(name) if sign == ".")]
    why = ""
    if not name:
        why = "is the network itself, and cannot be replaced inside it"
    elif first != name:
        why = f"is {first!r} as well, and one norm cannot count the steps of two places"
    elif any(map(_folds, parents)):
        why = "is in a container that folds time into the batch: use SpikingJelly's own layer.BatchNorm2d there"
    elif type(norm).forward.__module__.partition(".")[0] not in PLAIN:
        why = "has a forward of its own, which no norm here has: build the network with a norm in its place"
    elif touched := why_touched(norm):
        why = f"{touched}, which would be lost: give it to the new norm"
    elif norm.running_mean is None or norm.momentum is None:
        why = "has no running statistics with a momentum, which norms here have"
    elif norm.weight is not None and norm.bias is None:
        why = "has γ and no β: it is one step of a BNTT already, whose weights `bntt import` reads"
    if why:
        raise ValueError(f"the {type(norm).__name__} {name!r} {why}")


def _folds(container: Any) -> bool:
    """Return True if a container of SpikingJelly's, or a subclass of one, gives its parts all steps as one batch."""
    kinds = {kind.__name__ for kind in type(container).__mro__}
    return bool(FOLDS & kinds) or ("StepModeContainer" in kinds and not container.stateful)


def _filled(name: str, theirs: Any, ours: Any) -> Any:
    """Return the norm with everything copied from a batch normalisation."""
    if not norm_facts(ours).running_statistics:
        raise TypeError(f"{type(ours).__name__} has no running statistics to take those of {name!r} over: take another")
    ours.to(theirs.running_mean).train(theirs.training)
    ours.path, ours.eps, ours.momentum = name, theirs.eps, theirs.momentum
    with torch.no_grad():
        ours.running_mean[:], ours.running_var[:] = theirs.running_mean, theirs.running_var
        own_tensor(ours, "gamma")[:] = (1.0 if theirs.weight is None else theirs.weight) / ours.scale
        if theirs.weight is not None:
            ours.gamma.requires_grad_(theirs.weight.requires_grad)
            if ours.beta is not None:
                own_tensor(ours, "beta")[:] = theirs.bias
                ours.beta.requires_grad_(theirs.bias.requires_grad)
            elif theirs.bias.any():
                raise ValueError(f"{name!r} has a learned β, and {ours.method.name} has none: norm='bntt-beta' has")
    return ours

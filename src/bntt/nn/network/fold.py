"""Copies of a network: without its norms, each part of the neurons behind it, or for another number of time steps."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from torch import Tensor, nn

from bntt.nn.blocks import UNITS, CurrentBlock, NeuronBlock, Residual, SpikingBlock, bind_modules
from bntt.nn.kinds import norm_facts
from bntt.nn.network.classifier import check_network
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms import FAMILY, LayerNorm, NoNorm, NormMethod, TemporalNorm, check_window
from bntt.nn.untouched import why_touched
from bntt.ops.fold import Normalisation, fold_neuron, normalisation
from bntt.ops.lif import Neuron
from bntt.ops.retime import retiming


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
        return "its current is added to another's, so two scales would reach one neuron"
    if type(block.lif) is not LIF:
        return f"its norm is followed by {type(block.lif).__name__}, and not by LIF"
    if type(block.lif.neuron) is not Neuron:
        return f"its neurons are {type(block.lif.neuron).__name__}, which is not from the library"
    touched = why_touched(block.norm) or why_touched(block.lif)
    return touched and f"its norm or LIF {touched}, which the folded neurons would not have: remove it"


FAINT = 0.1
"""Mean |γ| below which a layer is nearly silent: where the paper's early exit stops."""


def retime(network: SpikingNetwork, num_steps: int, how: str) -> SpikingNetwork:
    """Return a copy of the network for another T; the network itself is unchanged.

    What differs from step to step in a norm (γ, β, p, running statistics) is resampled by ``how``
    (:mod:`bntt.ops.retime`). To measure new statistics, call :func:`bntt.training.recalibrate`.

    Args:
        network: any spiking network that is not folded.
        num_steps: T of the copy; its encoder must have the same T.
        how: "truncate" for fewer steps; "hold" or "interpolate" for more.

    Raises:
        ValueError: if ``how`` is unknown or leads in the other direction, or a norm's window is longer than T.
        TypeError: on a part with steps of its own and no ``step_tables``: a folded network, or a custom part.

    Warns:
        UserWarning: if "hold" would repeat a nearly silent last step, whose γ is near 0.

    >>> import torch
    >>> from bntt.models import mlp
    >>> longer = retime(mlp(hidden=(8,), num_steps=4), 6, "hold")
    >>> longer.num_steps, longer(torch.ones(6, 2, 1)).shape
    (6, torch.Size([2, 10]))
    """
    check_network(network, "retime")
    if network.num_steps is None:
        retiming(1, min(1, num_steps), how)  # checks the arguments, as no part has tables to check them with
    new, tied = copy.deepcopy(network), dict[int, tuple[Tensor, Tensor]]()
    for path, module in (*new.blocks.named_modules(), *new.readout.named_modules(prefix="readout")):
        alone = isinstance(module, FoldedLIF) and network.num_steps == 1  # its tables have one row, as constants do
        if hasattr(module, "step_tables"):
            _retime_part(module, num_steps, how, tied)
        elif alone or getattr(module, "num_steps", None) is not None:
            raise TypeError(
                f"{type(module).__name__} {path!r} has {module.num_steps or 1} steps that cannot be changed: retime a "
                f"network before it is folded"
            )
    new.num_steps = bind_modules(new.blocks, new.readout)
    if how == "hold" and (faint := faint_at_the_end(network)) and num_steps > (network.num_steps or num_steps):
        listed = ", ".join(f"{value:.2g} in {name}" for name, value in faint.items())
        warnings.warn(
            f"the last of {network.num_steps} steps is held for {num_steps - (network.num_steps or 0)} more, and its "
            f"mean |γ| is near 0, {listed}: these steps are nearly silent; use 'interpolate', or train with a "
            f"smaller decay of γ",
            stacklevel=2,
        )
    return new


def faint_at_the_end(network: SpikingNetwork) -> dict[str, float]:
    """Return the mean |γ| (p γ where a norm has a p) of layers at the last step, if it is below ``FAINT``."""
    found = {}
    for name, layer in network.layers.items():
        norm: Any = layer.norm
        if norm_facts(norm).running_statistics and {"gamma", "step_scale"} & dict(norm.step_tables()).keys():
            last = slice(norm.num_steps - 1, norm.num_steps)
            if (value := float(norm.scale_and_shift(last)[0].detach().abs().mean())) < FAINT:
                found[name] = value
    return found


def _retime_part(part: Any, num_steps: int, how: str, tied: dict[int, tuple[Tensor, Tensor]]) -> None:
    """Give a part another number of steps; ``tied`` maps the id of a table to the table and its resampled form."""
    rows = retiming(part.num_steps, num_steps, how)
    if isinstance(method := getattr(part, "method", None), NormMethod):
        check_window(f"{method.name} {part.path!r}", method.pooling, num_steps)
    for name, table in list(part.step_tables()):
        if id(table) not in tied:
            made = (rows.to(table.device) @ table.detach().double()).to(table.dtype)
            made = nn.Parameter(made, table.requires_grad) if isinstance(table, nn.Parameter) else made
            tied[id(table)] = table, made  # kept alive, so that no other table gets its id
        setattr(part, name, tied[id(table)][1])
    part.num_steps = num_steps

"""Weights on their input: what does not fit is refused by the name of the layer and of the parameter."""

from __future__ import annotations

import math

from torch import Tensor, nn

from bntt.nn.blocks.stage import fold_time
from bntt.nn.tensor_checks import check_tensor


def weigh(name: str, synapse: nn.Module, x: Tensor) -> Tensor:
    """Apply weights to all steps at once, ``[S, B, ...]``.

    Args:
        name: what messages call the layer.

    Raises:
        ValueError: if PyTorch refuses the weights; the message names the parameter that is not what its layer says.

    >>> import torch
    >>> weigh("block 'fc1'", nn.Linear(4, 8), torch.ones(5, 2, 4)).shape
    torch.Size([5, 2, 8])
    """
    try:
        return fold_time(synapse, x)
    except (RuntimeError, TypeError) as error:
        if not (reason := _misfit(synapse)):
            raise
        raise ValueError(f"{name} cannot apply its weights: {reason}. PyTorch says: {error}") from error


def first_weights(synapse: nn.Module) -> nn.Conv2d | nn.Linear | None:
    """The first of a synapse's modules that says what it takes and gives; None if none does."""
    return next((layer for layer in synapse.modules() if isinstance(layer, nn.Conv2d | nn.Linear)), None)


def _misfit(synapse: nn.Module) -> str:
    """What of the first weights' parameters is not of their sizes or types; "" if nothing."""
    layer = first_weights(synapse)
    if layer is None:
        return ""
    if isinstance(layer, nn.Linear):
        shape: tuple[int, ...] = (layer.out_features, layer.in_features)
    else:
        shape = (layer.out_channels, layer.in_channels // max(1, layer.groups), *layer.weight.shape[2:])
    kind, dtype = type(layer).__name__, layer.weight.dtype
    for part, value, wanted in (("weight", layer.weight, shape), ("bias", layer.bias, shape[:1])):
        if value is not None and (value.shape != wanted or value.dtype != dtype):
            return f"the {part} of its {kind} is {value.dtype} {list(value.shape)}, expected {dtype} {list(wanted)}"
    return ""


def check_input(name: str, synapse: nn.Module, x: Tensor) -> None:
    """Compare an input with the first weights that it meets, if they are of a kind that says what it takes.

    Raises:
        TypeError: on what is no tensor, or weights of a type that cannot be.
        ValueError: on an input that does not fit them.
    """
    check_tensor(x, name, "an input [S, B, ...]")
    layer = first_weights(synapse)
    if layer is None:
        return
    if isinstance(layer, nn.Conv2d):
        fits, wanted = x.ndim == 5 and x.shape[2] == layer.in_channels, f"{layer.in_channels}, H, W"
    else:
        fits, wanted = math.prod(x.shape[2:]) == layer.in_features, f"{layer.in_features}"
    dtype = layer.weight.dtype
    if dtype.itemsize < 4:
        raise TypeError(
            f"{name} has weights of {dtype}: statistics and membranes need float32 at least, so weights are float32 or "
            f"float64; for less use precision='bf16-grad' or 'bf16', or torch.autocast"
        )
    if not fits or x.dtype != dtype:
        reason = (
            "time comes first, and channels and image size are those that the network was built for"
            if not fits
            else f"convert the input, or the network with .to({x.dtype})"
        )
        raise ValueError(f"{name} takes {dtype} [S, B, {wanted}], got {x.dtype} {list(x.shape)}: {reason}")

"""Weights of a layer: their input is checked, all steps are computed at once, and errors name the layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bntt.nn.blocks.stage import fold_time
from bntt.nn.tensor_checks import check_tensor


def weigh(name: str, synapse: nn.Module, x: Tensor) -> Tensor:
    """Apply weights to all steps at once, ``[S, B, ...]``; the result is float32 or wider, even under autocast."""
    try:
        weighed = fold_time(synapse, x)
        return weighed.to(torch.promote_types(weighed.dtype, torch.float32))
    except (RuntimeError, TypeError) as error:
        if not (reason := _misfit(synapse) or _unflattened(synapse, x)):
            raise
        raise ValueError(f"{name} cannot apply its weights: {reason}. PyTorch says: {error}") from error


def first_weights(synapse: nn.Module) -> nn.Conv2d | nn.Linear | None:
    """Return the first of a synapse's modules that declares its input and output sizes; None if none does."""
    return next((layer for layer in synapse.modules() if isinstance(layer, nn.Conv2d | nn.Linear)), None)


def _misfit(synapse: nn.Module) -> str:
    """Describe a parameter of the first weights that has a wrong size or type; "" if there is none."""
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


def _unflattened(synapse: nn.Module, x: Tensor) -> str:
    """Describe an input that does not fit a fully connected layer, such as an unflattened one; "" if it fits."""
    layer, features = first_weights(synapse), math.prod(x.shape[2:])
    flattens = any(isinstance(part, nn.Flatten) for part in synapse.modules())
    if not isinstance(layer, nn.Linear) or not _meets(synapse, layer):
        return ""
    if (features if flattens else x.shape[-1]) == layer.in_features:
        return ""
    way = ": put nn.Flatten() before it" * (not flattens and features == layer.in_features)
    return f"its Linear takes {layer.in_features} features, and the input is [S, B, ...] = {list(x.shape)}{way}"


def _meets(synapse: nn.Module, layer: nn.Module) -> bool:
    """Return True if a synapse's input reaches these weights in its original size, or flattened."""
    if type(synapse) is not nn.Sequential:
        return synapse is layer
    for part in synapse:
        if type(part) not in (nn.Flatten, nn.Identity, nn.Dropout):
            return _meets(part, layer)
    return False


def check_input(name: str, synapse: nn.Module, x: Tensor) -> None:
    """Check an input against the first weights that it meets, if these declare their input size."""
    check_tensor(x, name, "an input [S, B, ...]")
    layer = first_weights(synapse)
    if layer is None:
        return
    if not _meets(synapse, layer):  # other modules come before it, or beside it
        fits, wanted = True, "..."
    elif isinstance(layer, nn.Conv2d):
        fits, wanted = x.ndim == 5 and x.shape[2] == layer.in_channels, f"{layer.in_channels}, H, W"
    else:
        fits, wanted = math.prod(x.shape[2:]) == layer.in_features, f"{layer.in_features}"
    dtype = layer.weight.dtype
    if dtype.itemsize < 4:
        raise TypeError(
            f"{name} has weights of {dtype}: statistics and membranes need float32 at least, so weights are float32 or "
            f"float64; for lower precision use precision='bf16-grad' or 'bf16', or torch.autocast"
        )
    if not fits or x.dtype != dtype:
        also = f", or the network with .to({x.dtype})" if x.dtype in (torch.float32, torch.float64) else ""
        reason = (
            "time comes first, and channels and image size are those that the network was built for"
            if not fits
            else f"convert the input{also}"
        )
        raise ValueError(f"{name} takes {dtype} [S, B, {wanted}], got {x.dtype} {list(x.shape)}: {reason}")

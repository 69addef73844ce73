"""The fully connected network for sequences (the paper's sequential MNIST: FC(1,256)-FC(256,256)-FC(256,10))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from bntt.models.plan import HiddenLayer, linear, scaled
from bntt.models.spiking import MODELS, spiking_network
from bntt.nn.kinds import NormBuilder
from bntt.nn.network.spiking_network import SpikingNetwork


@MODELS.register("mlp")
def mlp(
    *,
    in_features: int = 1,
    hidden: Sequence[int] = (256, 256),
    num_classes: int = 10,
    num_steps: int = 784,
    leak: float = 0.99,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    **options: Any,
) -> SpikingNetwork:
    """Return fully connected layers for sequences ``[T, B, in_features]``; one pixel per step by default.

    Inputs with more dimensions are flattened: ``[T, B, C, H, W]`` has ``C·H·W`` features. The paper does not give the
    leak of this network; 0.99 is our choice.

    Args:
        in_features: F, inputs per step.
        hidden: sizes of the hidden layers, before ``width``.
        num_classes, num_steps, leak, norm, width: as :func:`~bntt.models.vgg9`'s.
        **options: as :func:`~bntt.models.vgg9`'s.

    >>> import torch
    >>> mlp(num_steps=7)(torch.ones(7, 2, 1)).shape
    torch.Size([2, 10])
    """
    layers = mlp_layers(in_features, hidden, width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)


def mlp_layers(in_features: int, hidden: Sequence[int], width: float) -> Iterator[HiddenLayer]:
    """Yield the hidden layers fc1, fc2, ..., uninitialised."""
    if in_features < 1 or not hidden:
        raise ValueError(f"in_features must be 1 or more and hidden not empty, got {in_features} and {list(hidden)}")
    for number, features in enumerate(hidden, start=1):
        out = scaled(features, width)
        synapse = linear(in_features, out)
        yield HiddenLayer(f"fc{number}", nn.Sequential(nn.Flatten(), synapse) if number == 1 else synapse, out, None)
        in_features = out

"""The same plans as ReLU networks: no bias, no normalisation, average pooling, as ANN-SNN conversion needs them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from torch import nn

from bntt.models.mlp import mlp_layers
from bntt.models.plan import HiddenLayer, VGGPlan, initialize, linear, vgg_layers
from bntt.models.vgg import VGG6, VGG9, VGG11


def vgg6_ann(
    *, num_classes: int = 10, width: float = 1.0, in_channels: int = 1, image_size: int = 28, seed: int = 0
) -> nn.Sequential:
    """:func:`~bntt.models.vgg.vgg6` with ReLU.

    >>> import torch
    >>> vgg6_ann()(torch.ones(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    return _vgg_ann(VGG6, num_classes, width, in_channels, image_size, seed)


def vgg9_ann(
    *, num_classes: int = 10, width: float = 1.0, in_channels: int = 3, image_size: int = 32, seed: int = 0
) -> nn.Sequential:
    """:func:`~bntt.models.vgg.vgg9` with ReLU: the paper's source network for conversion.

    >>> sum(p.numel() for p in vgg9_ann().parameters())
    5938880
    """
    return _vgg_ann(VGG9, num_classes, width, in_channels, image_size, seed)


def vgg11_ann(
    *, num_classes: int = 100, width: float = 1.0, in_channels: int = 3, image_size: int = 32, seed: int = 0
) -> nn.Sequential:
    """:func:`~bntt.models.vgg.vgg11` with ReLU.

    >>> round(sum(p.numel() for p in vgg11_ann().parameters()) / 1e6, 2)
    11.72
    """
    return _vgg_ann(VGG11, num_classes, width, in_channels, image_size, seed)


def mlp_ann(
    *,
    in_features: int = 1,
    hidden: Sequence[int] = (256, 256),
    num_classes: int = 10,
    width: float = 1.0,
    seed: int = 0,
) -> nn.Sequential:
    """:func:`~bntt.models.mlp.mlp` with ReLU, on ``[B, in_features]`` or images.

    >>> import torch
    >>> mlp_ann()(torch.ones(2, 1)).shape
    torch.Size([2, 10])
    """
    return _relu_network(mlp_layers(in_features, hidden, width), num_classes, seed)


def _vgg_ann(
    plan: VGGPlan, num_classes: int, width: float, in_channels: int, image_size: int, seed: int
) -> nn.Sequential:
    layers = vgg_layers(plan, in_channels=in_channels, image_size=image_size, width=width)
    return _relu_network(layers, num_classes, seed)


def _relu_network(layers: Iterable[HiddenLayer], num_classes: int, seed: int) -> nn.Sequential:
    """Weights, ReLU and pool of each layer under its name, then the output layer.

    He's gain √2 keeps the activations' size through the ReLUs (no normalisation would), so Xavier's gain is not 2 here.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    features = 0
    for layer in layers:
        modules[layer.name] = layer.synapse
        modules[f"{layer.name}_relu"] = nn.ReLU()
        if layer.pool is not None:
            modules[f"{layer.name}_pool"] = layer.pool
        features = layer.channels
    modules["readout"] = linear(features, num_classes)
    network = nn.Sequential(modules)
    initialize(network, seed, gain=2.0**0.5)
    return network

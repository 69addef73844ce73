"""The paper's convolutional networks, layer by layer as released, and a small one for 28x28 images."""

from __future__ import annotations

from typing import Any

from bntt.models.plan import AVERAGE, HALVE, VGGPlan, vgg_layers
from bntt.models.spiking import MODELS, spiking_network
from bntt.nn.kinds import NormBuilder
from bntt.nn.network.spiking_network import SpikingNetwork

VGG6 = VGGPlan((16, 16, HALVE, 32, 32, HALVE), hidden=128)
VGG9 = VGGPlan((64, 64, HALVE, 128, 128, HALVE, 256, 256, 256, HALVE), hidden=1024)
VGG11 = VGGPlan((64, HALVE, 128, HALVE, 256, 256, HALVE, 512, 512, HALVE, 512, 512, AVERAGE), hidden=4096)


@MODELS.register("vgg9")
def vgg9(
    *,
    num_classes: int = 10,
    num_steps: int = 25,
    leak: float = 0.95,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 3,
    image_size: int = 32,
    **options: Any,
) -> SpikingNetwork:
    """Return VGG9 (CIFAR-10): C64-C64-P-C128-C128-P-C256-C256-C256-P-FC1024-FC; 5,938,880 weights for 10 classes.

    Args:
        num_classes: K.
        num_steps: T; the norms have T rows of γ.
        leak: λ in [0, 1].
        norm: a name in ``bntt.nn.NORMS``, or a function ``(channels, num_steps, threshold) -> module``.
        width: factor on the channels of every layer.
        in_channels, image_size: of the square input; the size must be a multiple of 8.
        **options: neuron, threshold, fire, reset, surrogate, surrogate_scale, readout, learn_leak, decay_input,
            norm_eps, dropout: see :class:`~bntt.models.spiking.NeuronOptions`; and seed, of the initial weights, 0 by
            default.

    Returns:
        A network that takes spikes ``[T, B, C, H, W]`` and gives logits ``[B, K]``.

    Raises:
        ValueError: on an unknown name, or sizes that do not fit; the message says which, and what would fit.
        TypeError: on an unknown keyword argument; the message names the nearest.

    >>> sum(p.numel() for p in vgg9(num_classes=10, num_steps=25).parameters()) - 25 * 2176
    5938880
    """
    layers = vgg_layers(VGG9, in_channels=in_channels, image_size=image_size, width=width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)


@MODELS.register("vgg11")
def vgg11(
    *,
    num_classes: int = 100,
    num_steps: int = 50,
    leak: float = 0.99,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 3,
    image_size: int = 32,
    **options: Any,
) -> SpikingNetwork:
    """Return VGG11 (CIFAR-100 at 32x32, Tiny-ImageNet at 64x64): eight convolutions, global average, FC4096, FC.

    C64-P-C128-P-C256-C256-P-C512-C512-P-C512-C512-AdaptiveAvg-FC(512→4096)-FC; 11.72 M weights for 100 classes.

    Args:
        num_classes, num_steps, leak, norm, width: as :func:`vgg9`'s.
        **options: as :func:`vgg9`'s.
        in_channels, image_size: of the square input; the size must be a multiple of 16.

    >>> round((sum(p.numel() for p in vgg11(num_steps=2).parameters()) - 2 * 6848) / 1e6, 2)
    11.72
    """
    layers = vgg_layers(VGG11, in_channels=in_channels, image_size=image_size, width=width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)


@MODELS.register("vgg6")
def vgg6(
    *,
    num_classes: int = 10,
    num_steps: int = 12,
    leak: float = 0.95,
    norm: str | NormBuilder = "bntt",
    width: float = 1.0,
    in_channels: int = 1,
    image_size: int = 28,
    **options: Any,
) -> SpikingNetwork:
    """Return a small VGG for 28x28 images (not in the paper): C16-C16-P-C32-C32-P-FC128-FC.

    Args:
        num_classes, num_steps, leak, norm, width: as :func:`vgg9`'s.
        **options: as :func:`vgg9`'s.
        in_channels, image_size: of the square input; the size must be a multiple of 4.

    >>> vgg6(width=0.5, num_steps=4).blocks["conv1"].synapse.weight.shape
    torch.Size([8, 1, 3, 3])
    """
    layers = vgg_layers(VGG6, in_channels=in_channels, image_size=image_size, width=width)
    return spiking_network(layers, num_classes=num_classes, num_steps=num_steps, leak=leak, norm=norm, **options)

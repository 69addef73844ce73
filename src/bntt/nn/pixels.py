"""Images with pixels in [0, 1]: what is refused, and their normalisation per channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

PerChannel = Sequence[float] | float | Tensor | None
"""One number a channel, or none."""


def channel_scales(mean: PerChannel, std: PerChannel) -> tuple[Tensor | None, Tensor | None]:
    """Mean and standard deviation as rows ``[C, 1, 1]``; both or neither.

    Raises:
        ValueError: if one of them is missing, their lengths differ, or a number is not finite or no deviation.

    >>> mean, std = channel_scales([0.5, 0.4, 0.3], 3 * [0.25])
    >>> mean.shape
    torch.Size([3, 1, 1])
    """
    center, spread = _per_channel("mean", mean), _per_channel("std", std)
    if (center is None) != (spread is None) or (
        center is not None and spread is not None and len(center) != len(spread)
    ):
        raise ValueError(f"mean and std come together, one number a channel, got mean={mean} and std={std}")
    if spread is not None and not (spread > 0).all():
        raise ValueError(f"std must be above 0 in every channel, got {std}")
    return center, spread


def normalized(images: Tensor, mean: Tensor | None, std: Tensor | None) -> Tensor:
    """``(images - mean) / std`` per channel, after a look at the images; themselves where mean and std are None.

    Args:
        images: ``[B, C, H, W]``, floating point, pixels in [0, 1].
        mean, std: as :func:`channel_scales` gives them.

    Raises:
        TypeError: if the images are not floating point, or have no values.
        ValueError: if they are not ``[B, C, H, W]``, not finite, not within [0, 1], or of other channels.

    >>> normalized(torch.ones(1, 1, 1, 2), *channel_scales(0.5, 0.25)).flatten()
    tensor([2., 2.])
    """
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point with pixels in [0, 1], got {images.dtype}: divide by 255")
    if images.is_meta:
        raise TypeError("images on the meta device have no values")
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"images must be [B, C, H, W] with B >= 1, got shape {list(images.shape)}")
    low, high = images.detach().aminmax()
    if not (low >= 0 and high <= 1):  # written so that NaN fails
        wrong = ~((images >= 0) & (images <= 1)).flatten(1).all(1)
        raise ValueError(
            f"pixels must be finite and from 0 to 1, got {float(low):.4g} to {float(high):.4g}, "
            f"first in image {int(wrong.nonzero()[0])} of the batch: "
            f"scale them, and leave the normalisation to the encoder's mean= and std="
        )
    if mean is None or std is None:
        return images
    if len(mean) != images.shape[1]:
        raise ValueError(f"mean and std have {len(mean)} channels, the images have {images.shape[1]}")
    return (images - mean) / std


def _per_channel(name: str, values: PerChannel) -> Tensor | None:
    if values is None:
        return None
    rows = torch.as_tensor(values, dtype=torch.get_default_dtype()).detach().clone().reshape(-1, 1, 1)
    if not torch.isfinite(rows).all():
        raise ValueError(f"{name} must be finite in every channel, got {values}")
    return rows

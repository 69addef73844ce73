"""Images with pixels in [0, 1]: checks, normalisation per channel, and encoders for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bntt.engine.private import is_mapped
from bntt.nn.encoders.encoder import check_values, whole_steps
from bntt.nn.tensor_checks import check_tensor

PerChannel = Sequence[float] | float | Tensor | None
"""One number per channel, or none."""


def channel_scales(mean: PerChannel, std: PerChannel) -> tuple[Tensor | None, Tensor | None]:
    """Return mean and standard deviation as rows ``[C, 1, 1]``; both or neither."""
    center, spread = _per_channel("mean", mean), _per_channel("std", std)
    if (center is None) != (spread is None) or (
        center is not None and spread is not None and len(center) != len(spread)
    ):
        raise ValueError(f"mean and std come together, one number per channel, got mean={mean} and std={std}")
    if spread is not None and not (spread > 0).all():
        raise ValueError(f"std must be above 0 in every channel, got {std}")
    return center, spread


def normalized(images: Tensor, mean: Tensor | None, std: Tensor | None) -> Tensor:
    """Return ``(images - mean) / std`` per channel, after checking the images; unchanged if mean and std are None."""
    check_tensor(images, "the encoder", "images [B, C, H, W]")
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point with pixels in [0, 1], got {images.dtype}: divide by 255")
    if images.is_meta:
        raise TypeError("images on the meta device have no values")
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"images must be [B, C, H, W] with B >= 1, got shape {list(images.shape)}")
    low, high = images.detach().aminmax()
    if not is_mapped(images) and not (low >= 0 and high <= 1):  # written so that NaN fails
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


def check_rates(x: Tensor, signed: bool) -> None:
    """Refuse values that rate coding does not take: not finite, or, if it is unsigned, not from 0 to 1."""
    check_values(x, "pixels")
    if not signed and not is_mapped(x) and (x.amin() < 0 or x.amax() > 1):
        raise ValueError(
            f"unsigned rate coding takes pixels from 0 to 1, got {x.min():.4g} to {x.max():.4g}: "
            f"leave out mean and std, or take signed=True"
        )


def _per_channel(name: str, values: PerChannel) -> Tensor | None:
    if values is None:
        return None
    rows = torch.as_tensor(values, dtype=torch.get_default_dtype()).detach().clone().reshape(-1, 1, 1)
    if not torch.isfinite(rows).all():
        raise ValueError(f"{name} must be finite in every channel, got {values}")
    return rows


class PixelEncoder(nn.Module, ABC):
    """Base class of image encoders: a call normalises the images; a subclass encodes them by ``spikes(x, ...)``."""

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, num_steps: int, *, mean: PerChannel = None, std: PerChannel = None) -> None:
        super().__init__()
        self.num_steps = whole_steps(num_steps)
        for name, rows in zip(("mean", "std"), channel_scales(mean, std), strict=True):
            self.register_buffer(name, rows)

    def forward(self, images: Tensor, **call: Any) -> Tensor:
        """Encode images ``[B, C, H, W]`` with pixels in [0, 1] into the network's input, ``[S, B, C, H, W]``."""
        return self.spikes(self.normalized(images), **call)

    def normalized(self, images: Tensor) -> Tensor:
        """Check the images and normalise each channel to mean 0 and deviation 1: the first half of a call."""
        return normalized(images, self.mean, self.std)

    @abstractmethod
    def spikes(
        self, x: Tensor, *, seed: int, index: Tensor | None, draw: int, steps: range | None, compact: bool
    ) -> Tensor:
        """Encode normalised images: the second half of a call, so that noise can come between the two."""

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"

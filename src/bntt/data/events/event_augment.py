"""Random changes of frames of events: one for each recording, the same for all its frames, so that events stay events.

Counts move to other cells and are neither mixed nor changed. Time and polarity stay as they are.
"""

from __future__ import annotations

from jaxtyping import Integer, Shaped
from torch import Tensor

from bntt.data.images.augment import random_crop, random_flip


def flip_frames(
    frames: Shaped[Tensor, "B T C H W"], *, seed: int, draw: int, index: Integer[Tensor, " B"]
) -> Shaped[Tensor, "B T C H W"]:
    """Mirror left and right, each recording with probability one half.

    >>> import torch
    >>> flip_frames(torch.zeros(2, 3, 2, 8, 8, dtype=torch.uint8), seed=0, draw=0, index=torch.arange(2)).shape
    torch.Size([2, 3, 2, 8, 8])
    """
    flipped = random_flip(frames.flatten(1, 2), seed=seed, draw=draw, index=index)
    return flipped.reshape(frames.shape)


def shift_frames(
    frames: Shaped[Tensor, "B T C H W"], *, seed: int, draw: int, index: Integer[Tensor, " B"], most: int = 4
) -> Shaped[Tensor, "B T C H W"]:
    """Move by -most..most rows and columns, drawn for each recording; what leaves the frame is lost, 0 comes in.

    >>> import torch
    >>> shift_frames(torch.zeros(2, 3, 2, 8, 8, dtype=torch.uint8), seed=0, draw=0, index=torch.arange(2)).shape
    torch.Size([2, 3, 2, 8, 8])
    """
    shifted = random_crop(frames.flatten(1, 2), seed=seed, draw=draw, index=index, padding=most)
    return shifted.reshape(frames.shape)


EVENT_AUGMENTATIONS = {"flip": flip_frames, "shift": shift_frames}
"""By name, as :class:`~bntt.data.SampleLoader` takes them."""

"""Image files of a folder as tensors, brought to one mode and size by :mod:`bntt.io.pictures`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bntt.data.errors import DataError
from bntt.data.listing import ListedFile
from bntt.io.pictures import Fit, brought_to, decoded

Mode = Literal["", "rgb", "gray"]
LARGEST = 4096
"""Most rows and columns that images can be scaled to."""


def decode(file: ListedFile) -> Tensor:
    """Decode to uint8 ``[C, H, W]`` as :func:`bntt.io.pictures.decoded` does."""
    return torch.from_numpy(decoded(file.read, file.where).pixels)


@dataclass(frozen=True)
class Fitting:
    """Conversion of images to one size and mode, by Pillow's bilinear filter, which averages when it shrinks."""

    size: int = 0
    """Rows and columns; 0: as they are."""
    mode: Mode = ""
    """Mode: gray is ``0.299 R + 0.587 G + 0.114 B`` (Pillow's "L"), gray becomes RGB by repetition; "": as it is."""
    fit: Fit = "crop"
    """How to make a picture square: cut out the middle ("crop"), add black borders ("pad"), or scale each side by
    itself ("stretch")."""

    def __post_init__(self) -> None:
        if not 0 <= self.size <= LARGEST:
            raise DataError(f"size must be from 0 to {LARGEST:,} pixels, got {self.size:,}")

    def tag(self, name: str) -> str:
        """Return the tag that distinguishes the prepared folder of these images from others of the same dataset."""
        return "-".join(([str(self.size), self.fit] if self.size else []) + ([self.mode] if self.mode else []))

    def flags(self) -> str:
        """Return the conversion as flags of ``bntt data prepare``."""
        size = [f"--size {self.size} --fit {self.fit}"] if self.size else []
        return " ".join([*size, *([f"--mode {self.mode}"] if self.mode else [])])

    def applied(self, pixels: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        """Convert an image, uint8 ``[C, H, W]``, to this mode and size; also describe the changes."""
        channels = {"": len(pixels), "gray": 1, "rgb": 3}[self.mode]
        shape = (channels, self.size or pixels.shape[1], self.size or pixels.shape[2])
        made, changes = brought_to(pixels.numpy(), shape, self.fit)
        return torch.from_numpy(made), changes

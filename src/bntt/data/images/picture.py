"""One picture for a network: read as the files of image folders are, and brought to the network's channels and size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bntt.data.errors import DataError
from bntt.data.images.image_folder import decode_as_seen, file_at

MODES = {1: "L", 3: "RGB"}
NAMES = {1: "gray", 3: "RGB"}


@dataclass(frozen=True)
class Picture:
    """A picture as a network takes it."""

    path: Path
    pixels: Tensor
    """uint8 ``[C, H, W]``."""
    changes: tuple[str, ...]
    """What was done to it, in words: "turned upright (EXIF orientation 6)", "gray from RGB", "resized from 640x480 to
    28x28" (width x height), "inverted"."""


def read_picture(path: Path, shape: Sequence[int], *, invert: bool = False) -> Picture:
    """Read one image file for a network that takes images of this shape.

    It is turned or mirrored as its EXIF orientation asks, as viewers show it.

    Gray is made of RGB as ``0.299 R + 0.587 G + 0.114 B`` (Pillow's "L"), RGB of gray by saying it three times. A
    picture of another size is scaled as a whole, with Pillow's bilinear filter, which averages where it shrinks:
    nothing is cut off, and the ratio of its sides is not kept.

    Args:
        shape: ``[C, H, W]`` of the network's images; C is 1 or 3.
        invert: replace every value v by 255 - v, for pictures that are dark on light where the network knows light on
            dark.

    Raises:
        DataError: naming the file, if it is missing, no file, no image, damaged, too large, transparent, or of a mode
            that is not 8-bit gray or RGB; or if the network takes other images than gray or RGB.

    >>> import tempfile; from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "green.png"
    >>> Image.new("RGB", (8, 4), (0, 255, 0)).save(path)
    >>> picture = read_picture(path, [1, 2, 2])
    >>> picture.pixels.tolist(), picture.changes
    ([[[150, 150], [150, 150]]], ('gray from RGB', 'resized from 8x4 to 2x2'))
    """
    from PIL import Image

    channels, height, width = shape
    if channels not in MODES:
        raise DataError(f"{path}: the network takes images of {channels} channels, and files hold gray or RGB ones")
    _check_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # decode refuses smaller ones
        pixels, orientation = decode_as_seen(file_at(path))
    image, changes = Image.fromarray(pixels.permute(1, 2, 0).squeeze(2).numpy()), list[str]()
    if orientation != 1:
        changes.append(f"turned upright (EXIF orientation {orientation})")
    if len(pixels) != channels:
        changes.append(f"{NAMES[channels]} from {NAMES[len(pixels)]}")
        image = image.convert(MODES[channels])
    if image.size != (width, height):
        changes.append(f"resized from {image.width}x{image.height} to {width}x{height}")
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    values = torch.from_numpy(np.array(image)).reshape(height, width, channels).permute(2, 0, 1)
    if invert:
        changes.append("inverted")
        values = 255 - values
    return Picture(path, values, tuple(changes))


def _check_file(path: Path) -> None:
    """Only a file is opened: a pipe would be waited for."""
    if path.is_dir():
        raise DataError(f"{path} is a folder: name the images in it, such as {path}/*.png")
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not path.is_file():
        raise DataError(f"{path} is no file: an image is read from a file")

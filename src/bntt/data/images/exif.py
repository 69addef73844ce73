"""What an image file says beside its pixels: which way up they are, and which of them are transparent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

OPAQUE = ("L", "RGB", "P", "1")
"""Modes that are read."""
ORIENTATION = 0x0112
"""The EXIF tag."""
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""For each orientation what brings the image upright, one of Pillow's ``Image.Transpose``."""


class Seen(NamedTuple):
    """An image as it is meant to be seen."""

    pixels: Tensor
    """uint8 ``[C, H, W]``."""
    orientation: int
    """The EXIF orientation that its file has, 1 to 8; where it is not 1 the image was turned or mirrored."""


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8: 1, upright, where it says none or none that can be read.

    >>> from PIL import Image
    >>> image = Image.new("L", (3, 2))
    >>> image.getexif()[ORIENTATION] = 6
    >>> orientation_of(image)
    6
    """
    try:
        said = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged beside its pixels: viewers show it as it is stored
        return 1
    return said if isinstance(said, int) and said in TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """The image read and turned as its orientation asks.

    Pillow turns TIFF files itself while it reads them; their orientation is 1 afterwards.

    >>> from PIL import Image
    >>> image = Image.new("L", (3, 2))
    >>> image.getexif()[ORIENTATION] = 6
    >>> upright(image).size
    (2, 3)
    """
    from PIL import Image

    image.load()
    orientation = orientation_of(image)
    return image if orientation == 1 else image.transpose(Image.Transpose[TURNS[orientation]])


def why_refused(image: Image.Image) -> str:
    """The mode of an image that is not opaque 8-bit gray or RGB; "" of one that is.

    A colour may be transparent beside the mode: by a ``tRNS`` chunk of PNG, or as GIF's transparent colour.

    >>> from PIL import Image
    >>> image = Image.new("P", (3, 2))
    >>> why_refused(image)
    ''
    >>> image.info["transparency"] = 0
    >>> why_refused(image)
    'P with transparency'
    """
    if image.mode not in OPAQUE:
        return image.mode
    return f"{image.mode} with transparency" if "transparency" in image.info else ""

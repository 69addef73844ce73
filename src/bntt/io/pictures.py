"""One image file: decoded as a viewer shows it, and fitted to a network, for training and runtime alike; no PyTorch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bntt.io.errors import DataError, refusing
from bntt.io.files import read_file

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
Described = tuple[Pixels, tuple[str, ...]]
"""Pixels ``[C, H, W]``, and what was done: "turned upright (EXIF orientation 6)", "resized from 640x480 to 28x28"."""
LARGEST = 1 << 26
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
"""Formats that Pillow may open: its other readers, some of which start programs, never see a file."""
PIXELS = 1 << 25
"""Most pixels of one image: reading it takes about eleven bytes for each."""
MODES_READ = ("L", "RGB", "P", "1", "LA", "RGBA", "PA", "CMYK", "I;16", "I;16B")
ORIENTATION = 0x0112
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""Transposition that brings the image upright, for each orientation, one of Pillow's ``Image.Transpose``."""
MODES = {1: "L", 3: "RGB"}
NAMES = {1: "gray", 3: "RGB"}
Fit = Literal["crop", "pad", "stretch"]


def decoded(read: Callable[[], bytes], where: str) -> Described:
    """Decode a file, upright: gray has one channel, RGB (also palette, CMYK) three; also describe what was done."""
    from PIL import Image, UnidentifiedImageError

    with refusing(f"{where} cannot be decoded", remedy="repair it, or remove it"):
        try:
            image = Image.open(io.BytesIO(read()), formats=FORMATS)
        except UnidentifiedImageError:
            known = f"no image of the formats {', '.join(FORMATS)}"
            raise DataError(f"{where} cannot be decoded ({known}): convert it, or move it away") from None
        fault, frames = "", getattr(image, "n_frames", 1)
        if image.width * image.height > PIXELS:
            fault = f"has {image.width}x{image.height} pixels, more than {PIXELS}"
        elif frames > 1 and image.format != "MPO":  # MPO: a JPEG with previews of itself
            fault = f"holds {frames} images: only files with one image are read"
        elif image.mode not in MODES_READ and (image.mode, image.format) != ("I", "PPM"):  # PPM's has 16 bits
            fault = f"has mode {image.mode}: convert it to gray or RGB of 8 or 16 bits"
        if fault:
            raise DataError(f"{where} {fault}")
        orientation, changes = orientation_of(image), list[str]()
        if orientation != 1:
            changes.append(f"turned upright (EXIF orientation {orientation})")
        image.load()
        orientation = orientation_of(image)  # Pillow turns TIFF files itself while it reads them: 1 afterwards
        upright = image if orientation == 1 else image.transpose(Image.Transpose[TURNS[orientation]])
        seen, done = _plain(upright)
        return _channels_first(np.asarray(seen)), (*changes, *done)


def _plain(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Convert an image to opaque 8-bit gray or RGB, and describe the changes."""
    from PIL import Image

    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)), ["8 bits from 16"]
    changes, mode = ["RGB from CMYK"] if image.mode == "CMYK" else [], "L" if image.mode in ("L", "1", "LA") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            changes.append("put on white")
    return image if image.mode == mode else image.convert(mode), changes


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8: 1, upright, if it has none or an unreadable one."""
    try:
        said = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged outside its pixels: viewers show it as stored
        return 1
    return said if isinstance(said, int) and said in TURNS else 1


def brought_to(pixels: Pixels, shape: Sequence[int], fit: Fit) -> Described:
    """Convert an image ``[C, H, W]`` to a shape, and describe the changes; the mode is changed first, then the size."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    stored = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2)
    image, changes = Image.fromarray(np.ascontiguousarray(stored)), list[str]()
    if len(pixels) != channels:
        changes.append(f"{NAMES[channels]} from {NAMES[len(pixels)]}")
        image = image.convert(MODES[channels])
    if image.size != (width, height):
        done = {"crop": "cropped and resized", "pad": "resized and padded", "stretch": "resized"}[fit]
        changes.append(f"{done} from {image.width}x{image.height} to {width}x{height}")
        filtering = Image.Resampling.BILINEAR
        if fit == "crop":
            image = ImageOps.fit(image, (width, height), filtering)
        elif fit == "stretch":
            image = image.resize((width, height), filtering)
        else:
            share, whole = min(width / image.width, height / image.height), Image.new(image.mode, (width, height))
            inside = image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))), filtering)
            whole.paste(inside, ((width - inside.width) // 2, (height - inside.height) // 2))
            image = whole
    return _channels_first(np.asarray(image)), tuple(changes)


def _channels_first(pixels: NDArray[Any]) -> Pixels:
    """Return a copy of Pillow's ``[H, W]`` or ``[H, W, C]``, ``[C, H, W]``."""
    made: Pixels = np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), 2, 0).copy()
    return made


def read_picture(path: Path, shape: Sequence[int], *, fit: Fit = "stretch", invert: bool = False) -> Described:
    """Read one image file for a network that takes images of this shape, and describe how it was changed."""
    from PIL import Image

    if (channels := shape[0]) not in MODES:
        raise DataError(f"{path}: the network takes images of {channels} channels, and files hold gray or RGB ones")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
        pixels, seen = decoded(lambda: read_file(path, LARGEST), str(path))
    values, changes = brought_to(pixels, shape, fit)
    return (255 - values, (*seen, *changes, "inverted")) if invert else (values, (*seen, *changes))

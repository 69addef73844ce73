"""Image files of every mode that is read: 16 bits, transparency, CMYK."""

import io

import numpy as np
from PIL import Image

from bntt.io.pictures import decoded
from tests.rows import each_row

SHADES = (np.arange(64, dtype=np.uint32).reshape(8, 8) * 1040).astype(np.uint16)
ALPHA = np.full((8, 8), 51, np.uint8)  # a fifth of the colour, and four of white


def stored(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@each_row(
    ("content", "expected"),
    [
        (stored(Image.fromarray(SHADES), "PNG"), SHADES // 256),
        (stored(Image.fromarray(SHADES), "TIFF"), SHADES // 256),
        (stored(Image.fromarray(SHADES), "PPM"), SHADES // 256),
        (stored(Image.merge("LA", [Image.new("L", (8, 8), 100), Image.fromarray(ALPHA)]), "PNG"), 224),
        (stored(Image.new("RGBA", (8, 8), (100, 0, 255, 51)), "PNG"), [224, 204, 255]),
        (stored(Image.new("RGBA", (8, 8), (100, 0, 255, 255)), "PNG"), [100, 0, 255]),
        (stored(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3)), [255, 255, 255]),
        (stored(Image.new("RGB", (8, 8), (1, 2, 4)), "PNG", transparency=(1, 2, 3)), [1, 2, 4]),
        (stored(Image.new("L", (8, 8), 7), "PNG", transparency=7), 255),
        (stored(Image.new("1", (8, 8)), "PNG", transparency=0), 255),
        (stored(Image.new("P", (8, 8)), "PNG", transparency=bytes([204, 0])), [51, 51, 51]),
        (stored(Image.new("P", (8, 8)), "GIF", transparency=0), [255, 255, 255]),
        (stored(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "TIFF"), [0, 255, 255]),
        (stored(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG"), [0, 0, 0]),
    ],
)
def test_every_mode_becomes_gray_or_rgb(content, expected):
    """Sixteen bits are cut to the upper eight, as Pillow cuts RGB's; what is transparent stands on white."""
    pixels = decoded(lambda: content, "x")[0]
    channels = 3 if isinstance(expected, list) else 1
    assert pixels.shape == (channels, 8, 8)
    wanted = np.asarray(expected)
    assert np.array_equal(
        pixels, np.broadcast_to(wanted.reshape(-1, 1, 1) if wanted.ndim < 2 else wanted, pixels.shape)
    )

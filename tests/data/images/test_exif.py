"""What a file says of its pixels: orientations that are none, and damage beside the pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from bntt.io.pictures import ORIENTATION, decoded, orientation_of
from tests import fakes
from tests.rows import each_row


@each_row("said", [0, 1, 9, 255, -1, "6", (6, 6), b"\6", None, 6.5])
def test_what_is_no_orientation_is_upright(said):
    image = Image.new("L", (3, 2))
    image.getexif()[ORIENTATION] = said
    assert orientation_of(image) == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@each_row("damage", [b"", b"Exif", b"Exif\0\0no TIFF", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_leaves_the_pixels_as_they_are(damage):
    pixels, file = fakes.pixels(5, 7, 3), io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, exif=damage)
    pixels, changes = decoded(file.getvalue, "x.jpeg")
    with Image.open(file) as image:
        assert np.array_equal(np.moveaxis(pixels, 0, 2), np.asarray(image))
    assert changes == ()


def test_a_palette_and_one_bit_are_turned_too():
    for mode in ("P", "1", "L"):
        image, file, exif = Image.fromarray(fakes.pixels(5, 7)).convert(mode), io.BytesIO(), Image.Exif()
        exif[ORIENTATION] = 3
        image.save(file, "PNG", exif=exif)
        expected = np.asarray(image.convert("RGB" if mode == "P" else "L"))[::-1, ::-1]
        assert np.array_equal(np.moveaxis(decoded(file.getvalue, "x.png")[0], 0, 2).squeeze(), expected)

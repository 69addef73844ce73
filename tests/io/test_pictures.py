"""One picture for a network: every mode, upright, channels, size, inversion, and files that are no pictures."""

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from bntt.io import pictures
from bntt.io.errors import DataError
from bntt.io.pictures import ORIENTATION, decoded, orientation_of, read_picture
from tests import fakes
from tests.rows import each_row

SHADES = (np.arange(64, dtype=np.uint32).reshape(8, 8) * 1040).astype(np.uint16)
ALPHA = np.full((8, 8), 51, np.uint8)  # a fifth of the colour, and four of white
HALF_CLEAR = Image.merge("LA", [Image.new("L", (8, 8), 100), Image.fromarray(ALPHA)])


def written(path, array):
    Image.fromarray(array).save(path)
    return path


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def of_mode(mode, colour=0, kind="PNG", size=(8, 8), **options):
    return encoded(Image.new(mode, size, colour), kind, **options)


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


@each_row(
    ("content", "expected", "said"),
    [
        (encoded(Image.fromarray(SHADES), "PNG"), SHADES // 256, "8 bits from 16"),
        (encoded(Image.fromarray(SHADES), "TIFF"), SHADES // 256, "8 bits from 16"),
        (encoded(Image.fromarray(SHADES), "PPM"), SHADES // 256, "8 bits from 16"),
        (encoded(HALF_CLEAR), 224, "put on white"),
        (of_mode("RGBA", (100, 0, 255, 51)), [224, 204, 255], "put on white"),
        (of_mode("RGBA", (100, 0, 255, 255)), [100, 0, 255], ""),
        (of_mode("RGB", (1, 2, 3), transparency=(1, 2, 3)), [255, 255, 255], "put on white"),
        (of_mode("RGB", (1, 2, 4), transparency=(1, 2, 3)), [1, 2, 4], ""),
        (of_mode("L", 7, transparency=7), 255, "put on white"),
        (of_mode("1", transparency=0), 255, "put on white"),
        (of_mode("P", transparency=bytes([204, 0])), [51, 51, 51], "put on white"),
        (of_mode("P", kind="GIF", transparency=0), [255, 255, 255], "put on white"),
        (of_mode("CMYK", (255, 0, 0, 0), "TIFF"), [0, 255, 255], "RGB from CMYK"),
        (of_mode("CMYK", (0, 0, 0, 255), "JPEG"), [0, 0, 0], "RGB from CMYK"),
    ],
)
def test_every_mode_becomes_gray_or_rgb_and_it_is_said(content, expected, said):
    """Sixteen bits are cut to the upper eight, as Pillow cuts RGB's; what is transparent stands on white."""
    pixels, changes = decoded(lambda: content, "x")
    assert changes == ((said,) if said else ())
    assert pixels.shape == (3 if isinstance(expected, list) else 1, 8, 8)
    wanted = np.asarray(expected)
    wanted = wanted.reshape(-1, 1, 1) if wanted.ndim < 2 else wanted
    assert np.array_equal(pixels, np.broadcast_to(wanted, pixels.shape))


@each_row("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@each_row("orientation", range(1, 9))
def test_a_picture_is_turned_upright_and_it_is_said(orientation, kind, tmp_path):
    """Pillow's own function is the judge; a TIFF is turned by Pillow as it is read."""
    path = tmp_path / "stored"
    lossless = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(fakes.pixels(16, 24, 3)).save(path, kind, exif=turned(orientation), **lossless)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    pixels, changes = read_picture(path, (3, *expected.shape[:2]))
    assert np.array_equal(np.moveaxis(pixels, 0, 2), expected)
    assert expected.shape[:2] == ((24, 16) if orientation >= 5 else (16, 24))
    assert changes == ((f"turned upright (EXIF orientation {orientation})",) if orientation > 1 else ())


def test_a_palette_and_one_bit_are_turned_too():
    for mode in ("P", "1", "L"):
        image = Image.fromarray(fakes.pixels(5, 7)).convert(mode)
        content = encoded(image, exif=turned(3))
        expected = np.asarray(image.convert("RGB" if mode == "P" else "L"))[::-1, ::-1]
        assert np.array_equal(np.moveaxis(decoded(lambda c=content: c, "x")[0], 0, 2).squeeze(), expected)


@each_row("said", [0, 1, 9, 255, -1, "6", (6, 6), b"\6", None, 6.5])
def test_what_is_no_orientation_is_upright(said):
    image = Image.new("L", (3, 2))
    image.getexif()[ORIENTATION] = said
    assert orientation_of(image) == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@each_row("damage", [b"", b"Exif", b"Exif\0\0no TIFF", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_leaves_the_pixels_as_they_are(damage):
    content = encoded(Image.fromarray(fakes.pixels(5, 7, 3)), "JPEG", quality=95, exif=damage)
    pixels, changes = decoded(lambda: content, "x.jpeg")
    assert np.array_equal(np.moveaxis(pixels, 0, 2), np.asarray(Image.open(io.BytesIO(content))))
    assert changes == ()


def test_gray_of_rgb_and_rgb_of_gray(tmp_path):
    colours, values = fakes.pixels(4, 6, 3), fakes.pixels(4, 6)
    gray, changes = read_picture(written(tmp_path / "rgb.png", colours), (1, 4, 6))
    assert changes == ("gray from RGB",)
    assert np.abs(gray[0] - colours.astype(float) @ np.array([0.299, 0.587, 0.114])).max() <= 0.51
    rgb, changes = read_picture(written(tmp_path / "gray.png", values), (3, 4, 6))
    assert changes == ("RGB from gray",)
    assert np.array_equal(rgb, np.stack([values] * 3))


def test_another_size_is_scaled_as_a_whole(tmp_path):
    """Shrunk to an eighth, a pixel is the mean under a triangle of 16 places around it."""
    values = fakes.pixels(32, 64)
    values[:, 32:] //= 4
    pixels, changes = read_picture(written(tmp_path / "wide.png", values), (1, 4, 8))
    assert (changes, pixels.shape) == (("resized from 64x32 to 8x4",), (1, 4, 8))

    def weights(size):
        places, centres = np.arange(size) + 0.5, (np.arange(size // 8) + 0.5) * 8
        rows = np.clip(1 - np.abs(places - centres[:, None]) / 8, 0, None)
        return rows / rows.sum(1, keepdims=True)

    expected = weights(32) @ values.astype(float) @ weights(64).T
    assert np.abs(pixels[0] - expected).max() <= 1.01


def test_it_is_turned_then_scaled_and_inverted_last(tmp_path):
    path = tmp_path / "wide.png"
    Image.fromarray(fakes.pixels(16, 24, 3)).save(path, exif=turned(8))
    (plain, _), (negative, changes) = (read_picture(path, (1, 8, 8), invert=invert) for invert in (False, True))
    assert np.array_equal(negative, 255 - plain)
    said = ("turned upright (EXIF orientation 8)", "gray from RGB", "resized from 16x24 to 8x8", "inverted")
    assert changes == said


def animation():
    frames = [Image.fromarray(fakes.pixels(8, 8, seed=i)) for i in range(3)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def sparse(path, size):
    path.touch()
    os.truncate(path, size)


@each_row(
    ("make", "named"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.symlink_to(path), "Too many levels"),
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "no file"),
        (lambda path: path.symlink_to("nowhere"), "does not exist"),
        (lambda path: path.write_bytes(b""), "cannot be decoded"),
        (lambda path: path.write_bytes(b"hello"), "cannot be decoded"),
        (lambda path: path.write_bytes(fakes.image_bytes(fakes.pixels(9, 9))[:-30]), "cannot be decoded"),
        (lambda path: path.write_bytes(of_mode("RGB", kind="JPEG")[:-20]), "cannot be decoded"),
        (lambda path: path.write_bytes(of_mode("F", kind="TIFF")), "mode F"),
        (lambda path: path.write_bytes(of_mode("I", kind="TIFF")), "mode I"),
        (lambda path: path.write_bytes(of_mode("LAB", kind="TIFF")), "mode LAB"),
        (lambda path: path.write_bytes(of_mode("1", size=(20_000, 20_000))), "bomb"),
        (lambda path: path.write_bytes(of_mode("1", size=(10_000, 9_000))), "10000x9000"),  # where Pillow only warns
        (lambda path: path.write_bytes(animation()), "3 images"),
        (lambda path: sparse(path, 1 << 27), "134,217,728 bytes"),
    ],
)
def test_what_is_no_picture_is_named(make, named, tmp_path):
    make(path := tmp_path / "x.png")
    with pytest.raises(DataError, match=rf"x\.png .*{named}"):
        read_picture(path, (1, 4, 4))


def test_more_pixels_than_are_read_and_a_network_of_other_channels(monkeypatch, tmp_path):
    path = written(tmp_path / "x.png", fakes.pixels(8, 8))
    with pytest.raises(DataError, match=r"x\.png.* 2 channels"):
        read_picture(path, (2, 4, 4))
    monkeypatch.setattr(pictures, "PIXELS", 63)
    with pytest.raises(DataError, match=r"x\.png .*8x8"):
        read_picture(path, (1, 8, 8))

"""One picture for a network: channels, size, inversion, and files that are no pictures."""

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from bntt.data.images import Fitting, decode
from bntt.data.listing import ListedFile
from bntt.io.errors import DataError
from bntt.io.pictures import read_picture
from tests import fakes
from tests.rows import each_row


def written(path, array):
    Image.fromarray(array).save(path)
    return path


def test_what_fits_is_read_as_the_files_of_image_folders_are(tmp_path):
    for channels in (1, 3):
        shape = (4, 6, 3) if channels == 3 else (4, 6)
        path = written(tmp_path / f"{channels}.png", fakes.pixels(*shape))
        pixels, changes = read_picture(path, (channels, 4, 6))
        assert changes == ()
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, decode(ListedFile("", path.read_bytes)))


def test_gray_of_rgb_and_rgb_of_gray(tmp_path):
    colours = fakes.pixels(4, 6, 3)
    gray, changes = read_picture(written(tmp_path / "rgb.png", colours), (1, 4, 6))
    assert changes == ("gray from RGB",)
    expected = colours.astype(float) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray[0] - expected).max() <= 0.51
    values = fakes.pixels(4, 6)
    rgb, changes = read_picture(written(tmp_path / "gray.png", values), (3, 4, 6))
    assert changes == ("RGB from gray",)
    assert np.array_equal(rgb, np.stack([values] * 3))


@each_row("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@each_row("orientation", range(1, 9))
def test_a_picture_is_turned_upright_and_it_is_said(orientation, kind, tmp_path):
    """Pillow's own function is the judge; a TIFF is turned by Pillow as it is read."""
    path, exif = tmp_path / "stored", Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(fakes.pixels(16, 24, 3)).save(path, kind, exif=exif, **lossless)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    pixels, changes = read_picture(path, (3, *expected.shape[:2]))
    assert np.array_equal(np.moveaxis(pixels, 0, 2), expected)
    assert expected.shape[:2] == ((24, 16) if orientation >= 5 else (16, 24))
    assert changes == ((f"turned upright (EXIF orientation {orientation})",) if orientation > 1 else ())


def test_it_is_turned_before_it_is_scaled(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / "wide.png"
    Image.fromarray(fakes.pixels(16, 24, 3)).save(path, exif=exif)
    _, changes = read_picture(path, (1, 8, 8))
    assert changes == ("turned upright (EXIF orientation 8)", "gray from RGB", "resized from 16x24 to 8x8")


def test_another_size_is_scaled_as_a_whole(tmp_path):
    """Shrunk to an eighth, a pixel is the mean under a triangle of 16 places around it."""
    values = fakes.pixels(32, 64)
    values[:, 32:] //= 4
    pixels, changes = read_picture(written(tmp_path / "wide.png", values), (1, 4, 8))
    assert changes == ("resized from 64x32 to 8x4",)
    assert pixels.shape == (1, 4, 8)

    def weights(size):
        places, centres = np.arange(size) + 0.5, (np.arange(size // 8) + 0.5) * 8
        rows = np.clip(1 - np.abs(places - centres[:, None]) / 8, 0, None)
        return rows / rows.sum(1, keepdims=True)

    expected = weights(32) @ values.astype(float) @ weights(64).T
    assert np.abs(pixels[0] - expected).max() <= 1.01


def test_inversion_comes_last_and_is_said(tmp_path):
    path = written(tmp_path / "rgb.png", fakes.pixels(8, 8, 3))
    (plain, _), (negative, changes) = (read_picture(path, (1, 4, 4), invert=invert) for invert in (False, True))
    assert np.array_equal(negative, 255 - plain)
    assert changes == ("gray from RGB", "resized from 8x8 to 4x4", "inverted")


@each_row(
    ("image", "said"),
    [
        (Image.new("RGBA", (8, 8), (100, 0, 255, 51)), ("put on white",)),
        (Image.new("RGBA", (8, 8), (100, 0, 255, 255)), ()),
        (Image.new("CMYK", (8, 8), (9, 0, 0, 0)), ("RGB from CMYK",)),
        (Image.fromarray(fakes.pixels(8, 8).astype(np.uint16) * 256), ("8 bits from 16", "RGB from gray")),
    ],
)
def test_other_modes_are_read_as_those_of_a_folder_and_it_is_said(image, said, tmp_path):
    path = tmp_path / "x.tiff"
    image.save(path)
    pixels, changes = read_picture(path, (3, 4, 4), fit="crop")
    expected, _ = Fitting(4, "rgb").applied(decode(ListedFile("", path.read_bytes)))
    assert np.array_equal(pixels, expected)
    assert changes == (*said, "cropped and resized from 8x8 to 4x4")


def bomb():
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


def half_a_bomb():
    """More than decode takes, and so little more than Pillow's own limit that Pillow only warns."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 9_000)).save(buffer, "PNG")
    return buffer.getvalue()


def sparse(path, size):
    path.touch()
    os.truncate(path, size)


@each_row(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.symlink_to(path), r"cannot be read: Too many levels of symbolic links"),
        (lambda path: path.mkdir(), "cannot be read: it is no file, but a folder: name a file in it"),
        (os.mkfifo, "cannot be read: it is no file"),
        (lambda path: path.symlink_to("nowhere"), "does not exist"),
        (lambda path: path.write_bytes(b""), "cannot be decoded"),
        (lambda path: path.write_bytes(b"hello"), "cannot be decoded .*: convert it, or move it away"),
        (lambda path: path.write_bytes(fakes.image_bytes(fakes.pixels(9, 9))[:-30]), "cannot be decoded"),
        (lambda path: Image.new("F", (4, 4)).save(path, "TIFF"), "has mode F"),
        (lambda path: path.write_bytes(bomb()), "cannot be decoded .*bomb"),
        (lambda path: path.write_bytes(half_a_bomb()), "has 10000x9000 pixels, more than"),
        (lambda path: sparse(path, 1 << 27), "has 134,217,728 bytes, at most 67,108,864"),
    ],
)
def test_what_is_no_picture_is_named(make, message, tmp_path):
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(DataError, match=rf"x\.png {message}"):
        read_picture(path, (1, 4, 4))


def test_a_network_of_other_channels(tmp_path):
    path = written(tmp_path / "x.png", fakes.pixels(4, 4))
    with pytest.raises(DataError, match="takes images of 2 channels"):
        read_picture(path, (2, 4, 4))

"""Image folders and zips, and image files that are not what they should be."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from bntt.data.images import decode, read_images
from bntt.data.listing import ListedFile
from bntt.io import pictures
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row


def test_pixels_and_classes(tmp_path):
    root = fakes.write_image_folder(tmp_path)
    train, test = read_images(root)
    assert train.classes == test.classes == ("cat", "dog")
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    stored = np.asarray(Image.open(root / "train" / "dog" / "2.png"))
    assert torch.equal(train.images[6], torch.from_numpy(stored.copy()).permute(2, 0, 1))


def test_gray_images_have_one_channel(tmp_path):
    assert read_images(fakes.write_image_folder(tmp_path, channels=1)).train.images.shape == (8, 1, 8, 8)


@each_row("kind", ["PNG", "TIFF"])
def test_images_stand_upright(kind, tmp_path):
    """All images of a folder, whichever way their camera lay: one size, and the same pixels."""
    root, pixels = fakes.write_image_folder(tmp_path), fakes.pixels(8, 8, 3, seed=9)
    turned = Image.fromarray(np.rot90(pixels))  # to the left: its first row is the last column
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(root / "train" / "cat" / "0.png", kind, exif=exif)
    assert np.array_equal(read_images(root).train.images[0].permute(1, 2, 0).numpy(), pixels)


def test_progress_counts_images(tmp_path):
    seen = []
    read_images(fakes.write_image_folder(tmp_path), lambda done, total: seen.append((done, total)))
    assert seen == [(i, 12) for i in range(1, 13)]


def encoded(mode, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, kind, **options)
    return buffer.getvalue()


@each_row(
    ("content", "message"),
    [
        (b"", "cannot be decoded"),
        (b"no image", "cannot be decoded"),
        (encoded("RGB", "JPEG")[:-20], "cannot be decoded"),
        (encoded("F", "TIFF"), "has mode F: convert it to gray or RGB of 8 or 16 bits"),
        (encoded("I", "TIFF"), "has mode I: "),
        (encoded("LAB", "TIFF"), "has mode LAB: "),
    ],
)
def test_image_files_that_are_refused(content, message):
    with pytest.raises(DataError, match=f"here/x.png {message}"):
        decode(ListedFile("here/x.png", lambda: content))


def test_a_decompression_bomb_is_refused():
    """A 20,000 x 20,000 image in a few kilobytes."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    with pytest.raises(DataError, match=r"bomb.png"):
        decode(ListedFile("bomb.png", buffer.getvalue))


def test_more_pixels_than_are_read(monkeypatch):
    monkeypatch.setattr(pictures, "PIXELS", 63)
    with pytest.raises(DataError, match=r"x.png has 8x8 pixels, more than 63"):
        decode(ListedFile("x.png", lambda: encoded("L")))


@each_row(
    ("change", "message"),
    [
        (lambda r: (r / "test").rename(r / "elsewhere"), "has no test or val folder or zip"),
        (lambda r: (r / "test" / "dog").rename(r / "test" / "wolf"), "classes of train and test differ: dog, wolf"),
        (lambda r: [p.unlink() for p in (r / "train" / "cat").iterdir()], "cat holds no file"),
        (lambda r: (r / "train" / "dog" / "1.png").write_bytes(fakes.image_bytes(fakes.pixels(9, 9, 3))), "one size"),
        (lambda r: (r / "train" / "dog" / "1.png").write_bytes(fakes.image_bytes(fakes.pixels(8, 8))), "one mode"),
    ],
)
def test_folders_that_are_refused(change, message, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    change(root)
    with pytest.raises(DataError, match=message):
        read_images(root)


def test_a_zip_is_read_by_name_and_never_unpacked(tmp_path):
    """A member that would escape its folder is just a name with a class in it."""
    root = fakes.write_image_zips(tmp_path / "zips", fakes.write_image_folder(tmp_path / "source"))
    with zipfile.ZipFile(root / "train.zip", "a") as archive:
        archive.writestr("../../dog/escape.png", fakes.image_bytes(fakes.pixels(8, 8, 3)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cat/0.png", fakes.image_bytes(later := fakes.pixels(8, 8, 3, seed=9)))
    before = sorted(tmp_path.parent.rglob("*"))
    train = read_images(root).train
    assert len(train) == 9
    assert np.array_equal(train.images[0].permute(1, 2, 0).numpy(), later), "of a name that comes twice the last counts"
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_damaged_zip(tmp_path):
    root = fakes.write_image_zips(tmp_path / "zips", fakes.write_image_folder(tmp_path / "source"))
    (root / "test.zip").write_bytes(b"PK not really")
    with pytest.raises(DataError, match=r"test.zip is not a whole zip file"):
        read_images(root)


def nested(root):
    """One class with a sub-folder of its own, and one around all classes; what systems leave behind is no image."""
    fakes.write_image_folder(root)
    (root / "train" / "cat" / "more").mkdir()
    (root / "train" / "cat" / "3.png").rename(root / "train" / "cat" / "more" / "3.png")
    (root / "train" / "cat" / "._0.png").write_bytes(b"resource fork")
    return root


def test_the_class_is_the_first_folder_in_every_form(tmp_path):
    folder = nested(tmp_path / "folder")
    zips, one = tmp_path / "zips", tmp_path / "all.zip"
    zips.mkdir()
    with zipfile.ZipFile(one, "w") as everything:
        for part in ("train", "test"):
            with zipfile.ZipFile(zips / f"{part}.zip", "w") as archive:
                for path in (folder / part).rglob("*"):
                    if path.is_file():
                        inside = path.relative_to(folder / part)
                        archive.write(path, "around" / inside)
                        archive.write(path, "__MACOSX" / inside)
                        everything.write(path, part / inside)
    expected = read_images(folder).train
    assert expected.classes == ("cat", "dog")
    assert expected.counts() == [4, 4]
    for other in (read_images(zips).train, read_images(one).train):
        assert other.classes == expected.classes
        assert torch.equal(other.images, expected.images)
        assert torch.equal(other.labels, expected.labels)


def test_a_damaged_member_of_a_zip_is_named(tmp_path):
    root = fakes.write_image_zips(tmp_path / "zips", fakes.write_image_folder(tmp_path / "source"))
    content = bytearray((root / "train.zip").read_bytes())
    content[content.index(b"IDAT") + 20] ^= 255
    (root / "train.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"train.zip:cat/0.png cannot be decoded \(Bad CRC-32"):
        read_images(root)


def test_a_zip_without_a_part(tmp_path):
    path = tmp_path / "one.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/cat/0.png", fakes.image_bytes(fakes.pixels(8, 8, 3)))
    with pytest.raises(DataError, match=r"one.zip has no test or val folder in it"):
        read_images(path)


FORMS = {"folder": lambda root, target: root, "zip": lambda root, target: fakes.write_image_zips(target, root)}


@each_row("form", FORMS)
def test_every_file_of_a_class_counts_whatever_its_name_ends_in(form, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    pixels = fakes.pixels(8, 8, 3, seed=9)
    cat = root / "train" / "cat"
    for name, kind in {
        "a.jfif": "JPEG",
        "b": "PNG",
        "c.data": "BMP",
        "d.PPM": "PPM",
        "e.tif": "TIFF",
        "f.gif": "GIF",
        "g.WebP": "WEBP",
    }.items():
        (cat / name).write_bytes(fakes.image_bytes(pixels, kind))
    for junk in ("Thumbs.db", "desktop.ini", ".DS_Store", "._a.png"):
        (cat / junk).write_bytes(b"no image")
    (root / "train" / "__MACOSX").mkdir()
    (root / "train" / "__MACOSX" / "0.png").write_bytes(b"no image")
    train, _ = read_images(FORMS[form](root, tmp_path / "zips"))
    assert train.counts() == [4 + 7, 4]
    for exact in (5, 6, 7):  # after 0 to 3.png and the JPEG: no loss in PNG, BMP, PPM
        assert torch.equal(train.images[exact], torch.from_numpy(pixels).permute(2, 0, 1))


@each_row("form", FORMS)
@each_row(
    ("name", "content", "message"),
    [
        ("train/cat/notes.txt", b"hello", r"notes.txt cannot be decoded \(no image of the formats .* move it away"),
        (
            "train/cat/x.eps",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
            "x.eps cannot be decoded .no image of",
        ),
        ("train/stray.jpeg", b"damaged", "stray.jpeg lies beside the class folders of .*train"),
    ],
)
def test_files_that_would_be_lost_are_named(form, name, content, message, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    (root / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_images(FORMS[form](root, tmp_path / "zips"))


@each_row("form", FORMS)
def test_what_is_no_image_may_lie_beside_the_classes(form, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    (root / "train" / "labels.csv").write_text("cat,dog")
    assert len(read_images(FORMS[form](root, tmp_path / "zips")).train) == 8


@each_row("form", FORMS)
def test_an_empty_class_is_named(form, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    for part in ("train", "test"):
        (root / part / "bird").mkdir()
    with pytest.raises(DataError, match="bird holds no file: expected one or more"):
        read_images(FORMS[form](root, tmp_path / "zips"))


def test_an_animation_is_not_cut_to_its_first_image():
    frames = [Image.fromarray(fakes.pixels(8, 8, seed=i)) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"x.gif holds 3 images"):
        decode(ListedFile("x.gif", buffer.getvalue))


def test_one_folder_around_all_classes(tmp_path):
    """As an archive unpacked into its own folder leaves it, with a file of words beside the classes."""
    root = fakes.write_image_folder(tmp_path / "root")
    (root / "train").rename(tmp_path / "around")
    (root / "train").mkdir()
    (tmp_path / "around").rename(root / "train" / "around")
    (root / "train" / "around" / "README").write_text("two classes")
    assert read_images(root).train.classes == ("cat", "dog")


def test_a_member_of_a_zip_that_announces_too_many_packed_bytes(tmp_path):
    """Without a look at both of its sizes two gigabytes would be asked for, to read eight."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part in ("train", "test"):
            archive.writestr(f"{part}/cat/1.png", encoded("RGB"))
    content, size = path.read_bytes(), len(encoded("RGB")).to_bytes(4, "little")
    directory = content.index(b"PK\x01\x02")
    path.write_bytes(content[:directory] + content[directory:].replace(size, b"\xff\xff\xff\x7f", 1))
    with pytest.raises(DataError, match=r"x\.zip:train/cat/1\.png has 2,147,483,647 bytes, at most"):
        read_images(path)

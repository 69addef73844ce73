"""Image folders and zips: what is read of them, what is refused, links, and the fingerprint of what is read."""

import os
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from bntt.data import listing
from bntt.data.images import fingerprint, read_images
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row

FORMS = {"folder": lambda root, target: root, "zip": lambda root, target: fakes.write_image_zips(target, root)}
CONTENT = fakes.image_bytes(fakes.pixels(8, 8, 3))


@pytest.fixture
def root(tmp_path):
    return fakes.write_image_folder(tmp_path / "root")


@pytest.fixture
def zips(root, tmp_path):
    return fakes.write_image_zips(tmp_path / "zips", root)


def test_pixels_and_classes(root, tmp_path):
    seen = []
    train, test = read_images(root, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 12) for i in range(1, 13)]
    assert train.classes == test.classes == ("cat", "dog")
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    stored = np.asarray(Image.open(root / "train" / "dog" / "2.png"))
    assert torch.equal(train.images[6], torch.from_numpy(stored.copy()).permute(2, 0, 1))
    gray = fakes.write_image_folder(tmp_path / "gray", channels=1)
    assert read_images(gray).train.images.shape == (8, 1, 8, 8)


def test_class_folders_alone_are_split_by_name(tmp_path):
    root = tmp_path / "mine"
    for number in range(20):
        write(root / ("cat", "dog")[number % 2] / f"{number}.png", CONTENT)
    train, test = read_images(root)
    assert (train.counts(), test.counts(), train.classes) == ([9, 9], [1, 1], ("cat", "dog"))
    before = fingerprint(root)
    assert torch.equal(read_images(root).test.images, test.images)
    write(root / "cat" / "more.png", CONTENT)
    assert fingerprint(root) != before


def write(place, content=b"hello"):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def add(root, name):
    for part in ("train", "test"):
        (root / part / name).mkdir()


@each_row("form", FORMS)
@each_row(
    ("change", "named"),
    [
        (lambda r: (r / "test" / "dog").rename(r / "test" / "wolf"), "differ: dog, wolf"),
        (lambda r: add(r, "bird"), "bird holds no file"),
        (lambda r: write(r / "train/dog/1.png", fakes.image_bytes(fakes.pixels(9, 9, 3))), "1.png .*data.size"),
        (lambda r: write(r / "train/dog/1.png", fakes.image_bytes(fakes.pixels(8, 8))), "1.png .*data.mode"),
        (lambda r: write(r / "train/cat/notes.txt"), "notes.txt cannot be decoded"),
        (lambda r: write(r / "train/cat/x.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"), "x.eps cannot"),
        (lambda r: write(r / "train/stray.jpeg"), "stray.jpeg .*train"),
    ],
)
def test_what_would_be_lost_is_named_in_every_form(form, change, named, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    change(root)
    made = FORMS[form](root, tmp_path / "zips")
    with pytest.raises(DataError, match=named):
        read_images(made)


def loop(root):
    (root / "train" / "cat" / "up").symlink_to(root / "train")


def to_itself(root):
    (root / "train" / "cat" / "me").symlink_to(root / "train" / "cat" / "me")


@each_row(
    ("change", "named"),
    [
        (lambda root: (root / "test").rename(root / "elsewhere"), "test or val"),
        (loop, "cat/up is a link to .*train"),
        (to_itself, "cat/me is a link that leads nowhere"),
        (
            lambda root: (root / "train/cat/gone.png").symlink_to("/nowhere/gone.png"),
            "gone.png is a link that leads nowhere",
        ),
        (lambda root: (root / "train/bird").symlink_to("/nowhere/bird"), "train/bird is a link that leads nowhere"),
        (lambda root: os.mkfifo(root / "train/cat/pipe"), "cat/pipe is neither"),
    ],
)
def test_folders_and_links_that_lose_images_are_named(change, named, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    change(root)
    for look in (read_images, fingerprint):
        with pytest.raises(DataError, match=named):
            look(root)


def test_the_training_images_are_no_test(root):
    shutil.rmtree(root / "test")
    (root / "test").symlink_to(root / "train")
    with pytest.raises(DataError, match="train and test are one place"):
        read_images(root)


def test_links_are_followed_and_the_fingerprint_sees_what_is_read_and_nothing_else(root, tmp_path):
    expected = read_images(root).train
    (root / "train").rename(tmp_path / "elsewhere")
    (root / "train").mkdir()
    (root / "train" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")  # a class
    (root / "train" / "dog").mkdir()
    (root / "train" / "dog" / "more").symlink_to(tmp_path / "elsewhere" / "dog")  # a folder within one
    assert torch.equal(read_images(root).train.images, expected.images)
    before = fingerprint(root)
    (root / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (root / "backup").mkdir()
    (root / "backup" / "gone").symlink_to("/nowhere")
    assert fingerprint(root) == before
    (tmp_path / "elsewhere" / "dog" / "9.jfif").write_bytes(b"x")
    assert fingerprint(root) != before


def test_a_zip_is_read_by_name_and_never_unpacked(zips, tmp_path):
    """A member that would escape its folder is just a name with a class in it."""
    with zipfile.ZipFile(zips / "train.zip", "a") as archive:
        archive.writestr("../../dog/escape.png", CONTENT)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cat/0.png", fakes.image_bytes(later := fakes.pixels(8, 8, 3, seed=9)))
    before = sorted(tmp_path.parent.rglob("*"))
    train = read_images(zips).train
    assert len(train) == 9
    assert np.array_equal(train.images[0].permute(1, 2, 0).numpy(), later), "of a name that comes twice the last counts"
    assert sorted(tmp_path.parent.rglob("*")) == before


def broken_member(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 20] ^= 255
    path.write_bytes(content)


def announcing(path):
    """Without a look at both of its sizes two gigabytes would be asked for, to read eight bytes."""
    content, size = path.read_bytes(), (path.parents[1] / "root/train/cat/0.png").stat().st_size.to_bytes(4, "little")
    at = content.index(size, content.index(b"PK\x01\x02"))
    path.write_bytes(content[:at] + b"\xff\xff\xff\x7f" + content[at + 4 :])


@each_row(
    ("damage", "named"),
    [
        (lambda path: path.write_bytes(b"PK not really"), "train.zip"),
        (broken_member, r"train.zip:cat/0.png cannot be decoded \(Bad CRC-32"),
        (announcing, r"train.zip:cat/0.png has 2,147,483,647 bytes"),
    ],
)
def test_a_damaged_zip(damage, named, tmp_path):
    zips = fakes.write_image_zips(tmp_path / "zips", fakes.write_image_folder(tmp_path / "root"))
    damage(zips / "train.zip")
    with pytest.raises(DataError, match=named):
        read_images(zips)


def test_a_zip_without_a_part_or_of_too_many_members(tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10):
            archive.writestr(f"train/cat/{number}.png", b"")
    for most, named in ((9, r"x\.zip has 10 members"), (10, r"x\.zip has no test or val")):
        monkeypatch.setattr(listing, "MOST", most)
        with pytest.raises(DataError, match=named):
            read_images(path)


def test_the_class_is_the_first_folder_in_every_form(root, tmp_path):
    """With a sub-folder in a class, one folder around all classes, and what systems leave behind."""
    (root / "train" / "cat" / "more").mkdir()
    (root / "train" / "cat" / "3.png").rename(root / "train" / "cat" / "more" / "3.png")
    write(root / "train" / "cat" / "._0.png", b"resource fork")
    zips, one, around = tmp_path / "zips", tmp_path / "all.zip", tmp_path / "around"
    zips.mkdir()
    with zipfile.ZipFile(one, "w") as everything:
        for part in ("train", "test"):
            shutil.copytree(root / part, around / part / "classes")
            write(around / part / "classes" / "README", b"two classes")
            with zipfile.ZipFile(zips / f"{part}.zip", "w") as archive:
                for path in (root / part).rglob("*"):
                    if path.is_file():
                        inside = path.relative_to(root / part)
                        archive.write(path, "around" / inside)
                        archive.write(path, "__MACOSX" / inside)
                        everything.write(path, part / inside)
    expected = read_images(root).train
    assert (expected.classes, expected.counts()) == (("cat", "dog"), [4, 4])
    for place in (zips, one, around):
        found = read_images(place).train
        assert found.classes == expected.classes
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.labels, expected.labels)


@each_row("form", FORMS)
def test_every_file_of_a_class_counts_whatever_its_name_ends_in(form, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    pixels, cat = fakes.pixels(8, 8, 3, seed=9), root / "train" / "cat"
    kinds = {"a.jfif": "JPEG", "b": "PNG", "c.data": "BMP", "d.PPM": "PPM", "e.tif": "TIFF", "f.gif": "GIF"}
    for name, kind in {**kinds, "g.WebP": "WEBP"}.items():
        write(cat / name, fakes.image_bytes(pixels, kind))
    for junk in ("Thumbs.db", "desktop.ini", ".DS_Store", "._a.png", "../__MACOSX/0.png"):
        write(cat / junk, b"no image")
    train, _ = read_images(FORMS[form](root, tmp_path / "zips"))
    assert train.counts() == [4 + 7, 4]
    for exact in (5, 6, 7):  # after 0 to 3.png and the JPEG: no loss in PNG, BMP, PPM
        assert torch.equal(train.images[exact], torch.from_numpy(pixels).permute(2, 0, 1))

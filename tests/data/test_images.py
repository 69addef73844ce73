"""Images inside the wheel, in CIFAR's and IDX files, folders and zips: what is read, fitted, and refused."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import tarfile
import zipfile
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image

from bntt.cli.main import main
from bntt.data import fashion_mnist_bundled, images, listing, synthetic
from bntt.data.images import (
    CIFAR10,
    CIFAR100,
    FASHION_CLASSES,
    Fitting,
    fingerprint,
    read_cifar,
    read_idx,
    read_images,
    read_mnist,
    read_tiny_imagenet,
)
from bntt.io.errors import DataError
from bntt.io.pictures import ORIENTATION, read_picture
from bntt.runs.recipe.build import build_data
from bntt.runs.recipe.file import RecipeError, load_recipe
from tests import fakes
from tests.fakes import real
from tests.golden.make_fashion_mnist import bundle
from tests.rows import each_row


def test_the_bundled_images():
    train, test = fashion_mnist_bundled()
    assert (train.counts(), test.counts()) == ([500] * 10, [100] * 10)
    mean, std = train.pixel_statistics()
    assert mean[0] == pytest.approx(0.286, abs=0.005), "published mean of the whole set: .2860"
    assert std[0] == pytest.approx(0.353, abs=0.005), "published standard deviation: .3530"
    seen = {image.tobytes() for image in train.images.numpy()}
    assert not any(image.tobytes() in seen for image in test.images.numpy())
    notice = files("bntt.data").joinpath("fashion_mnist_NOTICE.txt").read_text(encoding="utf-8")
    assert "MIT License" in notice
    assert "Zalando SE" in notice


@pytest.mark.data
def test_the_bundle_is_what_the_published_files_give():
    folder = real("fashion-mnist")
    with files("bntt.data").joinpath("fashion_mnist.npz").open("rb") as file, np.load(file) as npz:
        for name, array in bundle(folder).items():
            assert np.array_equal(npz[name], array), name


def test_the_made_set_repeats_and_the_nearest_class_mean_of_training_classifies_its_test_part():
    train, test = synthetic(image_size=16, train=200, test=100)
    means = torch.stack([train.images[train.labels == k].float().mean(0).flatten() for k in range(10)])
    guesses = torch.cdist(test.images.float().flatten(1), means).argmin(1)
    assert (guesses == test.labels).float().mean() > 0.95
    small = {"channels": 2, "image_size": 8, "num_classes": 3, "train": 12, "test": 6}
    first, again, other = synthetic(**small), synthetic(**small), synthetic(**small, seed=1)
    assert first.train.images.shape == (12, 2, 8, 8)
    assert torch.equal(first.train.images, again.train.images)
    assert not torch.equal(first.train.images, other.train.images)


TINY = fakes.TINY["cifar10"]


@each_row(
    ("name", "layout", "file", "index", "stored"),
    [("cifar10", CIFAR10, "data_batch_2.bin", 10, 0), ("cifar100", CIFAR100, "train.bin", 7, 7)],
)
def test_a_record_is_labels_of_which_the_last_is_taken_red_green_blue(name, layout, file, index, stored, tmp_path):
    classes = 10 if name == "cifar10" else 100
    folder = fakes.write_cifar(tmp_path, layout, classes)
    record = np.frombuffer((folder / file).read_bytes(), np.uint8).reshape(-1, layout.labels + 3072)[stored]
    train = read_cifar(folder, fakes.TINY[name]).train
    assert train.labels[index] == record[layout.labels - 1] == stored
    assert torch.equal(train.images[index].flatten(), torch.from_numpy(record[layout.labels :].copy()))
    assert train.classes == tuple(f"class{i}" for i in range(classes))


def test_the_real_layouts():
    assert [f"{n}" for n in CIFAR10.train] == [f"data_batch_{i}.bin" for i in range(1, 6)]
    assert (CIFAR10.labels, CIFAR100.labels, CIFAR10.records) == (1, 2, 10_000)


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def mislabelled(path):
    path.write_bytes(b"".join((path.read_bytes()[:3073], b"\xff", path.read_bytes()[3074:])))


def damaged(path):
    path.write_bytes(path.read_bytes()[:200] + bytes(20) + path.read_bytes()[220:])


@each_row(
    ("change", "named"),
    [
        *(
            (lambda at, keep=keep: cut(at / "data_batch_3.bin", keep), "data_batch_3.bin .*30730")
            for keep in (0, 9, -1)
        ),
        (lambda at: (at / "test_batch.bin").write_bytes(bytes(61_460)), "test_batch.bin .*30,730"),
        (lambda at: mislabelled(at / "data_batch_1.bin"), "label 255 of image 1"),
        (lambda at: (at / "test_batch.bin").unlink(), "test_batch.bin"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(change, named, tmp_path):
    change(folder := fakes.write_cifar(tmp_path))
    with pytest.raises(DataError, match=named):
        read_cifar(folder, TINY)


@each_row(
    "change",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a tar file"),
        lambda path: cut(path, len(path.read_bytes()) // 2),
        damaged,
        lambda path: fakes.write_cifar_tar(path, CIFAR100, 100),
    ],
)
def test_an_archive_that_is_not_whole_is_named(change, tmp_path):
    change(path := fakes.write_cifar_tar(tmp_path / "x.tar.gz"))
    with pytest.raises(DataError, match=r"x\.tar\.gz"):
        read_cifar(path, TINY)


def test_the_python_version_is_never_unpickled(tmp_path):
    """Fault 18: a folder of pickles is not the binary version; what is inside never runs."""
    canary = tmp_path / "canary"
    (tmp_path / "data_batch_1").write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    with pytest.raises(DataError, match="binary version"):
        read_cifar(tmp_path, CIFAR10)
    assert not canary.exists()


def test_an_archive_is_unpacked_to_no_more_than_is_wanted(tmp_path):
    path = fakes.write_cifar_tar(tmp_path / "x.tar.gz")
    whole = gzip.decompress(path.read_bytes())
    stranger = tarfile.TarInfo("zeros")
    stranger.size = 2 << 20
    beside = stranger.tobuf() + bytes(stranger.size) + whole
    for pack in (bytes, gzip.compress):
        path.write_bytes(pack(whole))
        assert len(read_cifar(path, TINY).train) == 50
        path.write_bytes(pack(beside))
        with pytest.raises(DataError, match="more than CIFAR has"):
            read_cifar(path, TINY)


HUGE = bytes((0, 0, 8, 2)) + struct.pack(">2I", 2**31, 2**31)
EMPTY = bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1)
NINE = fakes.idx_bytes(np.zeros(9, "u1"))
PACK = {"x": bytes, "x.gz": gzip.compress}


@each_row("name", PACK)
def test_values(name, tmp_path):
    array, path = fakes.pixels(3, 4, 5), tmp_path / name
    path.write_bytes(PACK[name](fakes.idx_bytes(array)))
    assert np.array_equal(read_idx(path, 3).numpy(), array)


@each_row("name", PACK)
@each_row(
    ("content", "dimensions", "named"),
    [
        (b"", 1, "00000801"),
        (b"\0\0\x08\x03" + b"\0" * 12, 1, "00000801, got 00000803"),
        (b"\0\0\x0d\x01" + b"\0" * 12, 1, "00000801, got 00000d01"),
        (HUGE, 2, "4611686018427387904 values, .* 1 to"),
        (EMPTY, 3, "0 values"),
        (NINE[:-1], 1, "9 values"),
        (NINE + b"\0" * 100_000, 1, "9 values, .* more"),
        (fakes.idx_bytes(np.zeros(33, "u1")), 1, "33 values, .* 1 to 32"),
    ],
)
def test_headers_that_lie(content, dimensions, named, name, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGEST_IDX", 32)
    path = tmp_path / name
    path.write_bytes(PACK[name](content))
    with pytest.raises(DataError, match=rf"{name}: .*{named}"):
        read_idx(path, dimensions)


@each_row("content", [b"", b"not gzip at all", gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde")[:-6]])
def test_gzip_files_that_are_not(content, tmp_path):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.gz"):
        read_idx(tmp_path / "x.gz", 1)


def test_labels_beyond_the_classes_and_a_missing_file(tmp_path):
    folder = fakes.write_mnist(tmp_path, packed=False)
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(fakes.idx_bytes(np.full(20, 255, "u1")))
    with pytest.raises(DataError, match="label 255 of image 0"):
        read_mnist(folder, FASHION_CLASSES)
    labels.unlink()
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte nor train-labels-idx1-ubyte\.gz"):
        read_mnist(folder)


def test_classes_are_sorted_ids_gray_becomes_rgb_and_validation_is_the_test_part(tmp_path):
    told = []
    root = fakes.write_tiny_imagenet(tmp_path / "t")
    train, test = read_tiny_imagenet(root, lambda done, total: told.append((done, total)))
    assert told == [(done, 8) for done in range(1, 9)]
    assert train.classes == ("n01", "n02", "n03")
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 0, 1, 1, 2, 2], [2, 1])
    assert [bool((image[0] == image[1]).all()) for image in train.images[:2]] == [False, True]


def _rows(root, content):
    (root / "val" / "val_annotations.txt").write_text(content)


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


@each_row(
    ("change", "named"),
    [
        (lambda r: (r / "wnids.txt").unlink(), "wnids.txt"),
        (lambda r: (r / "wnids.txt").write_bytes(b"\xff"), "wnids.txt"),
        (lambda r: (r / "wnids.txt").write_text(""), "val_annotations.txt, line 1: .* 0 names"),
        (lambda r: (r / "wnids.txt").write_text("../n01\n"), "wnids.txt .*'../n01'"),
        (lambda r: _rows(r, "x.JPEG\tn99\n"), "val_annotations.txt, line 1: .* 3 names"),
        (lambda r: _rows(r, ""), "val_annotations.txt"),
        (lambda r: _rows(r, "../../../secret.JPEG\tn01\n"), "val_annotations.txt .*'../../../secret.JPEG'"),
        (lambda r: _rows(r, "/etc/passwd\tn01\n"), "'/etc/passwd'"),
        (lambda r: _rows(r, f"{'x' * 300}\tn01\n"), "'xxx"),
        (lambda r: _rows(r, "a\0b\tn01\n"), r"'a\\x00b'"),
        (lambda r: [p.unlink() for p in (r / "train" / "n02" / "images").iterdir()], "n02/images"),
        (lambda r: (r / "val" / "images" / "val_0.JPEG").write_bytes(b""), "val_0.JPEG"),
        (lambda r: (r / "val" / "images" / "val_0.JPEG").unlink(), "val_0.JPEG"),
        (lambda r: _pipe(r / "val" / "images" / "val_0.JPEG"), "val_0.JPEG"),
    ],
)
def test_what_is_missing_is_named(change, named, tmp_path):
    root = fakes.write_tiny_imagenet(tmp_path / "t")
    change(root)
    with pytest.raises(DataError, match=named):
        read_tiny_imagenet(root)


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


MIXED = [("RGB", 40, 20, 1), ("L", 12, 31, 1), ("RGB", 16, 16, 1), ("P", 24, 9, 1), ("RGB", 30, 18, 6), ("L", 3, 50, 8)]


@pytest.fixture
def photographs(tmp_path):
    """Train and test with two classes of six pictures, each of another size, mode or EXIF orientation."""
    draw, root = np.random.default_rng(0), tmp_path / "photos"
    for folder in (root / part / label for part in ("train", "test") for label in ("cat", "dog")):
        folder.mkdir(parents=True)
        for number, (mode, width, height, orientation) in enumerate(MIXED):
            image = Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)
            exif = image.getexif()
            exif[ORIENTATION] = orientation
            image.save(folder / f"{number}.png", exif=exif)
    return root


@each_row(("size", "mode", "fit"), [(16, "rgb", "crop"), (28, "gray", "pad"), (9, "gray", "stretch")])
def test_predict_sees_a_picture_as_training_did_to_the_bit(size, mode, fit, photographs):
    prepared = read_images(photographs, fitting=Fitting(size, mode, fit)).train
    assert prepared.images.shape == (12, 3 if mode == "rgb" else 1, size, size)
    for row, path in enumerate(sorted((photographs / "train").rglob("*.png"))):
        asked, _ = read_picture(path, prepared.images.shape[1:], fit=fit)
        assert np.array_equal(asked, prepared.images[row]), path


def test_crop_keeps_the_middle_and_pad_the_whole():
    pixels = torch.zeros(1, 4, 12, dtype=torch.uint8)
    pixels[:, :, 4:8] = 200
    assert Fitting(4, fit="crop").applied(pixels)[0].eq(200).all()
    padded, changes = Fitting(12, fit="pad").applied(pixels)
    assert torch.equal(padded[:, 4:8], pixels)
    assert padded.sum() == pixels.sum()
    assert changes == ("resized and padded from 12x4 to 12x12",)
    assert Fitting(6, fit="pad").applied(torch.ones(3, 900, 2, dtype=torch.uint8))[0].shape == (3, 6, 6)


def test_what_cannot_be_fitted_names_the_keys(photographs):
    with pytest.raises(DataError, match=r"data\.mode .*data\.size"):
        read_images(photographs)
    for size in (-3, 0, 4097):
        with pytest.raises(DataError, match="size"):
            Fitting(size)
    for key in ("data.size=16", "data.mode=gray", "data.fit=pad"):
        with pytest.raises(RecipeError, match="fashion-mnist-bundled"):
            build_data(load_recipe("demo", [key]))
    with pytest.raises(RecipeError, match=r"data\.fit: .*data\.size"):
        build_data(load_recipe("demo", ["data.name=images", "data.root=x", "data.fit=pad"]))


@pytest.mark.slow
def test_a_run_on_photographs_is_asked_about_one(photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    data = ["data.name=images", f"data.root={photographs}", "data.size=8", "data.mode=rgb", "data.fit=pad"]
    small = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=5", "data.augment=[]"]
    sets = [part for value in [*data, *small, "data.validation=0.4", "evaluate.draws=1"] for part in ("-s", value)]
    assert main(["train", "demo", *sets, "--root", str(tmp_path)]) == 0
    flags = ["--size", "8", "--mode", "rgb", "--fit", "pad"]
    assert main(["data", "prepare", "images", "--from", str(photographs), *flags]) == 0
    assert main(["data", "prepare", "images", "--from", str(photographs), "--size", "9", "--mode", "gray"]) == 0
    assert len(list((tmp_path / "cache").iterdir())) == 2, "the flags are not the recipe's keys"
    assert main(["data", "verify", "images"]) == 0
    assert capsys.readouterr().out.count("unchanged") == 4
    assert main(["predict", str(photographs / "test" / "cat" / "0.png"), "--run", str(tmp_path / "demo")]) == 0
    assert "resized and padded from 40x20 to 8x8" in capsys.readouterr().out

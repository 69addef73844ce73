"""Tiny-ImageNet's own layout."""

import os

import pytest

from bntt.data.images import read_tiny_imagenet
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row


def test_classes_are_sorted_ids_and_validation_is_the_test_part(tmp_path):
    train, test = read_tiny_imagenet(fakes.write_tiny_imagenet(tmp_path / "t"))
    assert train.classes == ("n01", "n02", "n03")
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert test.labels.tolist() == [2, 1]


def test_progress_counts_images_of_both_parts(tmp_path):
    told = []
    read_tiny_imagenet(fakes.write_tiny_imagenet(tmp_path / "t"), lambda done, total: told.append((done, total)))
    assert told == [(done, 8) for done in range(1, 9)]


def test_gray_images_become_rgb(tmp_path):
    train, _ = read_tiny_imagenet(fakes.write_tiny_imagenet(tmp_path / "t"))
    gray = train.images[1]
    assert (gray[0] == gray[1]).all()
    assert (train.images[0][0] != train.images[0][1]).any()


def _name(root, name):
    (root / "val" / "val_annotations.txt").write_text(f"{name}\tn01\n")


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


@each_row(
    ("change", "message"),
    [
        (lambda r: (r / "wnids.txt").unlink(), "wnids.txt does not exist"),
        (lambda r: (r / "wnids.txt").write_text(""), "line 1: expected <file> and one of 0 names of wnids.txt"),
        (
            lambda r: (r / "val" / "val_annotations.txt").write_text("x.JPEG\tn99\n"),
            "line 1: expected <file> and one of 3",
        ),
        (lambda r: (r / "val" / "val_annotations.txt").write_text(""), "names no image"),
        (lambda r: [p.unlink() for p in (r / "train" / "n02" / "images").iterdir()], "n02/images holds no .JPEG"),
        (lambda r: (r / "val" / "images" / "val_0.JPEG").write_bytes(b""), "val_0.JPEG cannot be decoded"),
        (lambda r: (r / "val" / "images" / "val_0.JPEG").unlink(), "val_0.JPEG does not exist"),
        (
            lambda r: _name(r, "../../../secret.JPEG"),
            "val_annotations.txt names '../../../secret.JPEG': expected the name",
        ),
        (lambda r: _name(r, "/etc/passwd"), "names '/etc/passwd'"),
        (lambda r: _name(r, "x" * 300), "names 'xxx"),
        (lambda r: _name(r, "a\0b"), r"names 'a\\x00b'"),
        (lambda r: (r / "wnids.txt").write_text("../n01\n"), r"wnids.txt names '../n01'"),
        (lambda r: _pipe(r / "val" / "images" / "val_0.JPEG"), "val_0.JPEG cannot be read: it is no file"),
    ],
)
def test_what_is_missing_is_named(change, message, tmp_path):
    root = fakes.write_tiny_imagenet(tmp_path / "t")
    change(root)
    with pytest.raises(DataError, match=message):
        read_tiny_imagenet(root)

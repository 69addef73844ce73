"""Tiny-ImageNet's own layout."""

import os

import pytest

from bntt.data.images import read_tiny_imagenet
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row


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

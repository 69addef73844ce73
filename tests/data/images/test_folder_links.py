"""What an image folder's links lead to, and the fingerprint, which sees what is read and nothing else."""

import os
import shutil

import pytest
import torch

from bntt.data.images import fingerprint, read_images
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row


def test_links_are_followed(tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    expected = read_images(root).train
    (root / "train").rename(tmp_path / "elsewhere")
    (root / "train").mkdir()
    (root / "train" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")  # a class
    (root / "train" / "dog").mkdir()
    (root / "train" / "dog" / "more").symlink_to(tmp_path / "elsewhere" / "dog")  # a folder within one
    found = read_images(root).train
    assert torch.equal(found.images, expected.images)
    before = fingerprint(root)
    (tmp_path / "elsewhere" / "dog" / "9.jfif").write_bytes(b"x")
    assert fingerprint(root) != before, "the fingerprint sees what is read"


def loop(root):
    (root / "train" / "cat" / "up").symlink_to(root / "train")


def to_itself(root):
    (root / "train" / "cat" / "me").symlink_to(root / "train" / "cat" / "me")


def to_nowhere(root):
    (root / "train" / "cat" / "gone.png").symlink_to("/nowhere/gone.png")


def class_to_nowhere(root):
    (root / "train" / "bird").symlink_to("/nowhere/bird")


@each_row(
    ("change", "message"),
    [
        (loop, "cat/up is a link to .*train, a folder that it lies in"),
        (to_itself, "cat/me is a link that leads nowhere"),
        (to_nowhere, r"cat/gone.png is a link that leads nowhere \(/nowhere/gone.png\)"),
        (class_to_nowhere, "train/bird is a link that leads nowhere"),
        (lambda root: os.mkfifo(root / "train" / "cat" / "pipe"), "cat/pipe is neither a file nor a folder"),
    ],
)
def test_links_that_lose_images_are_named(change, message, tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    change(root)
    for look in (read_images, fingerprint):
        with pytest.raises(DataError, match=message):
            look(root)


def test_the_training_images_are_no_test(tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    shutil.rmtree(root / "test")
    (root / "test").symlink_to(root / "train")
    with pytest.raises(DataError, match="train and test are one place: no image would be new in the test"):
        read_images(root)


def test_a_fingerprint_changes_with_the_files(tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    before = fingerprint(root)
    assert fingerprint(root) == before
    (root / "train" / "cat" / "9.png").write_bytes(b"x")
    assert fingerprint(root) != before


def test_the_fingerprint_passes_over_what_is_not_read(tmp_path):
    root = fakes.write_image_folder(tmp_path / "root")
    before = fingerprint(root)
    (root / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (root / "backup").mkdir()
    (root / "backup" / "gone").symlink_to("/nowhere")
    assert fingerprint(root) == before

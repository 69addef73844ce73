"""Zips of a million members are refused before their names are read."""

import zipfile

import pytest

from bntt.data import listing as members
from bntt.data.images.image_folder import read_images
from bntt.data.listing import announced, check_members
from bntt.io.errors import DataError
from tests.rows import each_row


def zip_of(path, count, comment=b""):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"train/cat/{number}.png", b"")
        archive.comment = comment
    return path


@each_row("count", [0, 1, 9])
def test_as_many_as_there_are(count, tmp_path, monkeypatch):
    """From 65,535 members on, here from 9, another record tells their number."""
    plain = zip_of(tmp_path / "x.zip", count)
    assert b"PK\6\6" not in plain.read_bytes()
    assert announced(plain) == count
    with monkeypatch.context() as patched:  # rows share the fixture
        patched.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 8)
        path = zip_of(tmp_path / "long.zip", count)
    content = path.read_bytes()
    assert (b"PK\6\6" in content) == (count == 9)
    path.write_bytes(content[:-12] + (b"\xff\xff" * 2 if count == 9 else content[-12:-8]) + content[-8:])
    assert announced(path) == count


@each_row("content", [b"", b"PK\5\6", b"x" * 97, b"x" * 98, b"x" * 1000])
def test_what_is_no_zip_announces_none(content, tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    assert announced(path) == 0


@each_row("comment", [b"", b"an end that is not at the end"])
def test_more_than_are_read(comment, tmp_path, monkeypatch):
    """With a comment they are counted when they have been read."""
    monkeypatch.setattr(members, "MOST", 9)
    path = zip_of(tmp_path / "x.zip", 10, comment)
    assert announced(path) == (0 if comment else 10)
    with pytest.raises(DataError, match=r"x\.zip has 10 members, more than the 9 that are read"):
        read_images(path)
    check_members(path, 9)

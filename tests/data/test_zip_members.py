"""Zips of a million members are refused before their files are read."""

import zipfile

import pytest

from bntt.data import listing
from bntt.data.images import read_images
from bntt.io.errors import DataError


def test_more_than_are_read(tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10):
            archive.writestr(f"train/cat/{number}.png", b"")
    monkeypatch.setattr(listing, "MOST", 9)
    with pytest.raises(DataError, match=r"x\.zip has 10 members, more than the 9 that are read"):
        read_images(path)
    monkeypatch.setattr(listing, "MOST", 10)
    with pytest.raises(DataError, match="has no test or val"):
        read_images(path)

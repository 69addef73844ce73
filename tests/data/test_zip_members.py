"""Zips of more members than any dataset has are refused."""

import zipfile

import pytest

from bntt.data import listing
from bntt.data.errors import DataError
from bntt.data.images.image_folder import read_images


def test_more_than_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MOST", 9)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(10):
            archive.writestr(f"train/cat/{number}.png", b"")
    with pytest.raises(DataError, match=r"x\.zip has 10 members, more than the 9 that are read"):
        read_images(tmp_path / "x.zip")
    monkeypatch.setattr(listing, "MOST", 10)
    assert len(listing.zip_listing(tmp_path / "x.zip").files) == 10

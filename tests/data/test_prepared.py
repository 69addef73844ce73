"""Prepared folders: complete or not there, and where they are."""

import json

import pytest
import torch

from bntt.data import ImageSet, Splits
from bntt.data.errors import DataError
from bntt.data.prepared import cache_root, load_prepared, read_manifest, verify_prepared, write_prepared


@pytest.fixture
def splits():
    generator = torch.Generator().manual_seed(0)

    def part(count):
        pixels = torch.randint(0, 256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
        return ImageSet(pixels, torch.arange(count) % 2, ("a", "b"))

    return Splits(part(6), part(4))


@pytest.fixture
def prepared(splits, tmp_path):
    folder = tmp_path / "cache" / "x"
    return folder, write_prepared(folder, splits, name="x", source=tmp_path, check="unchecked")


def test_round_trip(prepared, splits):
    folder, manifest = prepared
    found = load_prepared(folder, manifest)
    for a, b in zip(found, splits, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
        assert a.classes == b.classes


def test_writing_again_replaces(prepared, splits, tmp_path):
    folder, _ = prepared
    manifest = write_prepared(folder, Splits(splits.test, splits.train), name="x", source=tmp_path, check="modified")
    assert read_manifest(folder) == manifest
    assert len(load_prepared(folder, manifest).train) == 4
    assert [p.name for p in folder.parent.iterdir()] == ["x"]


def test_nothing_prepared(tmp_path):
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", '{"name": 3, "colour": "red"}', "["])
def test_a_damaged_manifest(text, prepared):
    folder, _ = prepared
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="prepare the dataset again"):
        read_manifest(folder)


def test_a_manifest_of_another_format(prepared):
    folder, _ = prepared
    values = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**values, "format": 99}))
    with pytest.raises(DataError, match="has format 99, this version reads 1"):
        read_manifest(folder)


def test_a_missing_part(prepared):
    folder, manifest = prepared
    (folder / "test.safetensors").unlink()
    with pytest.raises(DataError, match=r"test.safetensors is missing"):
        verify_prepared(folder, manifest)


def test_where_prepared_data_is(monkeypatch, tmp_path):
    for name in ("BNTT_DATA", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match="set BNTT_DATA, or HOME"):
        cache_root()
    monkeypatch.setenv("HOME", "/home/x")
    assert str(cache_root()) == "/home/x/.cache/bntt"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert str(cache_root()) == "/cache/bntt"
    monkeypatch.setenv("BNTT_DATA", "/data")
    assert str(cache_root()) == "/data"

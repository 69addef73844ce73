"""Prepared folders: complete or not there; frames written one by one, wider when they must be."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

import bntt.data.prepared as module
from bntt.data import FrameSet, FrameSplits, ImageSet, Splits
from bntt.data.prepared import (
    FrameFile,
    cache_root,
    load_prepared,
    manifest_of,
    read_manifest,
    verify_prepared,
    write_prepared,
)
from bntt.io.errors import DataError
from bntt.io.files import digest
from tests.rows import each_row


def samples(rng, kinds, shape=(3, 2, 4, 5)):
    return [torch.randint(0, 200 if kind == torch.uint8 else 60_000, shape, generator=rng).to(kind) for kind in kinds]


@each_row("chunk", [1 << 22, 7, 120, 121])
@each_row("wide", [None, 0, 2, 4])
def test_what_is_written_is_read(wide, chunk, monkeypatch, rng, tmp_path):
    monkeypatch.setattr(module, "CHUNK", chunk)
    added = samples(rng, [torch.uint16 if number == wide else torch.uint8 for number in range(5)])
    with FrameFile(tmp_path / "x.safetensors", [5, 3, 2, 4, 5], [3, 0, 2, 1, 0]) as file:
        for sample in added:
            file.add(sample)
    found = safetensors.torch.load_file(tmp_path / "x.safetensors")
    assert file.bits == (8 if wide is None else 16)
    assert found["frames"].dtype == (torch.uint8 if wide is None else torch.uint16)
    assert torch.equal(found["frames"].long(), torch.stack([sample.long() for sample in added]))
    assert found["labels"].tolist() == [3, 0, 2, 1, 0]


def test_nothing_but_the_sample_is_in_memory(tmp_path):
    sample = torch.ones(4, 2, 64, 64, dtype=torch.uint8)
    tracemalloc.start()
    with FrameFile(tmp_path / "x.safetensors", [200, 4, 2, 64, 64], [0] * 200) as file:
        for _ in range(200):
            file.add(sample)
        most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "x.safetensors").stat().st_size > 200 * sample.numel() > 10 * most


def test_an_error_leaves_no_file_that_can_be_read(rng, tmp_path):
    file = FrameFile(tmp_path / "x.safetensors", [1, 3, 2, 4, 5], [0])
    file.__enter__().add(samples(rng, [torch.uint8])[0])
    file.__exit__(KeyError, KeyError(), None)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.torch.load_file(tmp_path / "x.safetensors")


@pytest.fixture
def splits():
    generator = torch.Generator().manual_seed(0)

    def part(count):
        pixels = torch.randint(0, 256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
        return ImageSet(pixels, torch.arange(count) % 2, ("a", "b"))

    return Splits(part(6), part(4))


def write(folder, parts):
    return write_prepared(folder, parts._asdict(), name="x", source=folder, check="unchecked")


@pytest.fixture
def prepared(splits, tmp_path):
    folder = tmp_path / "cache" / "x"
    return folder, write(folder, splits)


def unsigned(folder):
    """The manifest's values, without their checksum, which somebody who changes them can leave away."""
    values = json.loads((folder / "manifest.json").read_text())
    del values["checksum"]
    return values


def test_labels_may_be_a_column_of_a_table():
    table = torch.stack([torch.arange(6) % 2, torch.arange(6)], 1)
    images = ImageSet(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), table[:, 0], ("a", "b"))
    frames = FrameSet(torch.zeros(6, 3, 2), table[:, 0], ("a", "b"))
    for data in (images, frames):
        alike = replace(data, labels=table[:, 0].clone())
        assert manifest_of({"train": data}, "mine").sha256 == manifest_of({"train": alike}, "mine").sha256


def test_round_trip(prepared, splits):
    folder, manifest = prepared
    for a, b in zip(load_prepared(folder, manifest), splits, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
        assert a.classes == b.classes
    counts = torch.arange(24, dtype=torch.uint8).view(4, 3, 2)
    frames = FrameSplits(*[FrameSet(counts, torch.arange(4) % 2, ("a", "b"), scale=0.5)] * 2)
    found = load_prepared(folder, write(folder, frames))
    assert torch.equal(found.test.batch(torch.tensor([3])), counts[3:] / 2)


def test_writing_again_replaces_the_folder_of_a_link_too_or_leaves_what_was_there(
    prepared, splits, tmp_path, monkeypatch
):
    folder, before = prepared
    replace, turned = Path.replace, Splits(splits.test, splits.train)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda self, to: 1 / 0 if self.name == "new" else replace(self, to))
        with pytest.raises(ZeroDivisionError):
            write(folder, turned)
    assert read_manifest(folder) == before
    (link := tmp_path / "link").symlink_to(folder)
    manifest = write(link, turned)
    assert link.is_symlink()
    assert read_manifest(folder) == manifest
    assert len(load_prepared(folder, manifest).train) == 4
    assert [p.name for p in folder.parent.iterdir()] == ["x"]
    (beside := tmp_path / "beside").mkdir()
    assert folder.stat().st_mode == beside.stat().st_mode  # readers are the umask's


def changed(key, value):
    """The manifest with another value."""
    return lambda folder: (folder / "manifest.json").write_text(json.dumps({**unsigned(folder), key: value}))


def text(content):
    return lambda folder: (folder / "manifest.json").write_text(content)


@each_row(
    ("change", "named"),
    [
        *(
            (text(content), "manifest.json")
            for content in ("", "{}", '{"name": 3}', "[", '{"details": ' + "[" * 100_000)
        ),
        *(
            (changed(key, value), "manifest.json")
            for key, value in (
                ("name", None),
                ("source", 3),
                ("check", ["unchecked"]),
                ("images", [3, 2]),
                ("images", {"train": "3", "test": 2}),
                ("shape", "1x4x4"),
                ("shape", [1, 4, 4.0]),
                ("classes", True),
                ("classes", ["a", None]),
                ("sha256", []),
                ("sha256", {"train": 1, "test": 2}),
                ("details", None),
                ("fingerprint", {}),
                ("colour", "red"),
            )
        ),
        (changed("images", {"train": 3}), "manifest.json.*checksums"),
        (changed("sha256", {"train": "1a"}), "manifest.json.*checksums"),
        (changed("format", 99), "manifest.json has format 99"),
    ],
)
def test_a_damaged_manifest(change, named, splits, tmp_path):
    write(tmp_path, splits)
    change(tmp_path)
    with pytest.raises(DataError, match=f"{named}.* again"):
        read_manifest(tmp_path)


PIXELS = torch.zeros(6, 1, 4, 4, dtype=torch.uint8)


@each_row(
    ("tensors", "named"),
    [
        ({}, "'images'"),
        ({"images": PIXELS}, "'labels'"),
        ({"images": PIXELS[:5]}, r"images \[5, 1, 4, 4\]"),
        ({"images": PIXELS.repeat(1, 1, 1, 2)}, r"images \[6, 1, 4, 8\]"),
        ({"images": PIXELS, "labels": torch.full((6,), 2)}, "label 2 of image 0"),
        ({"images": PIXELS.float(), "labels": torch.zeros(6, dtype=torch.int64)}, "images"),
        (None, "header"),
    ],
)
def test_a_file_with_the_right_checksum_that_holds_something_else(tensors, named, splits, tmp_path):
    write(tmp_path, splits)
    file = tmp_path / "train.safetensors"
    if tensors is None:
        file.write_bytes(bytes(range(200)))
    else:
        safetensors.torch.save_file(tensors, file)
    changed("sha256", {**unsigned(tmp_path)["sha256"], "train": digest(file)})(tmp_path)
    with pytest.raises(DataError, match=rf"train.safetensors .*{named}.* again"):
        load_prepared(tmp_path, read_manifest(tmp_path))


def test_a_part_that_changed_or_is_missing(prepared):
    folder, manifest = prepared
    file = folder / "test.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\7")
    with pytest.raises(DataError, match=r"test.safetensors has changed"):
        load_prepared(folder, manifest)
    file.unlink()
    with pytest.raises(DataError, match=r"test.safetensors is missing"):
        verify_prepared(folder, manifest)


def test_where_prepared_data_is(monkeypatch, tmp_path):
    for name in ("BNTT_DATA", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match="BNTT_DATA"):
        cache_root()
    for name, value, place in (
        ("HOME", "/home/x", "/home/x/.cache/bntt"),
        ("XDG_CACHE_HOME", "/cache", "/cache/bntt"),
        ("BNTT_DATA", "/data", "/data"),
    ):
        monkeypatch.setenv(name, value)
        assert str(cache_root()) == place
    assert read_manifest(tmp_path) is None, "nothing was prepared there"


def test_every_flipped_bit_of_a_manifest_is_noticed_and_an_old_one_needs_no_checksum(prepared):
    """R5 and S5, for the file whose own words nothing else holds a checksum of."""
    folder, manifest = prepared
    file = folder / "manifest.json"
    content = file.read_bytes()
    for place in range(0, 8 * len(content), 13):  # every byte's neighbour, every bit of a byte in turn
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with pytest.raises(DataError):
            read_manifest(folder)
    file.write_bytes(content)
    file.write_text(json.dumps(unsigned(folder)))
    assert read_manifest(folder) == manifest

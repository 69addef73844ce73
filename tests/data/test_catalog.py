"""Finding, preparing and downloading by name."""

import dataclasses
import hashlib
import linecache
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from bntt.data import FrameSet, FrameSplits, catalog
from bntt.data.samples import Dataset
from bntt.io.errors import DataError
from bntt.io.files import digest
from tests import fakes
from tests.rows import each_row

pytestmark = pytest.mark.usefixtures("cache")


def entry(monkeypatch, name, **changes):
    monkeypatch.setitem(catalog.DATASETS, name, dataclasses.replace(catalog.DATASETS[name], **changes))


def test_a_usual_place_is_found_without_being_told(monkeypatch, tmp_path):
    place = fakes.write_mnist(tmp_path / "package")
    sums = [hashlib.sha256(fakes.gzip.decompress(p.read_bytes())).hexdigest() for p in sorted_like_published(place)]
    items = [
        dataclasses.replace(i, sha256=s) for i, s in zip(catalog.DATASETS["fashion-mnist"].published, sums, strict=True)
    ]
    entry(monkeypatch, "fashion-mnist", usual=(place,), published=tuple(items))
    splits, manifest = catalog.open_dataset("fashion-mnist")
    assert len(splits.train) == 20
    assert manifest.check == "published", "a repacked archive with the published content"
    assert manifest.source == str(place)


def sorted_like_published(folder: Path) -> list[Path]:
    return [folder / item.name for item in catalog.DATASETS["fashion-mnist"].published]


def test_what_is_nowhere_says_how_to_get_it(monkeypatch):
    entry(monkeypatch, "fashion-mnist", usual=())
    with pytest.raises(DataError, match=r"bntt data prepare fashion-mnist --from PATH, .*--download"):
        catalog.open_dataset("fashion-mnist")
    for find in (catalog.open_dataset, catalog.prepare):
        with pytest.raises(DataError, match=r"unknown dataset 'no-such': choose one of .*cifar10, "):
            find("no-such")


@each_row("state", ["does not exist", "is empty"])
def test_a_source_that_is_not_there(state, tmp_path):
    place = tmp_path / "place"
    if state == "is empty":
        place.mkdir()
    with pytest.raises(DataError, match=f"place {state}: cifar10 is read from cifar-10-binary.tar.gz"):
        catalog.prepare("cifar10", place)


def test_download_of_every_file_and_then_no_more(monkeypatch, tmp_path):
    source = fakes.write_mnist(tmp_path / "server")
    published = tuple(
        catalog.Published(item.url, digest(source / item.name, "md5"), (source / item.name).stat().st_size)
        for item in catalog.DATASETS["mnist"].published
    )
    entry(monkeypatch, "mnist", published=published)
    asked = []

    def fake_download(url, target, *, md5, size, progress):
        asked.append(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / target.name).read_bytes())
        progress(size, size)

    monkeypatch.setattr(catalog, "download", fake_download)
    told = []
    _, manifest = catalog.prepare("mnist", download=True, progress=lambda *counts: told.append(counts))
    assert manifest.check == "published"
    assert told == [(item.size, item.size) for item in published]
    assert asked == [item.url for item in published]
    catalog.prepare("mnist", download=True)
    assert len(asked) == 4, "what has the right checksum is not fetched again"


def test_tiny_imagenet_has_no_published_checksum_to_download_by():
    with pytest.raises(DataError, match="no published checksum"):
        catalog.prepare("tiny-imagenet", download=True)


def test_every_published_file_is_https_and_has_a_checksum():
    for dataset in catalog.DATASETS.values():
        for item in dataset.published:
            assert item.url.startswith("https://")
            assert len(item.md5) == 32
            assert item.size > 0


def test_image_folders_have_a_place_each(tmp_path):
    a, b = (catalog.prepared_folder("images", tmp_path / name) for name in ("a", "b"))
    assert a != b
    with pytest.raises(DataError, match="needs the folder that it is in"):
        catalog.prepared_folder("images")


@pytest.mark.data
def test_the_system_packages_fashion_mnist_is_the_published_one():
    folder = Path(os.environ.get("BNTT_TEST_DATA", "/nonexistent")) / "fashion-mnist"
    if not folder.is_dir():
        pytest.skip("BNTT_TEST_DATA names no folder with fashion-mnist/")
    _, manifest = catalog.prepare("fashion-mnist", folder)
    assert manifest.check == "published"
    assert manifest.images == {"train": 60_000, "test": 10_000}


@pytest.mark.data
def test_the_jpeg_copy_of_cifar10_is_complete():
    folder = Path(os.environ.get("BNTT_TEST_DATA", "/nonexistent")) / "cifar10-jpeg"
    if not folder.is_dir():
        pytest.skip("BNTT_TEST_DATA names no folder with cifar10-jpeg/")
    splits, manifest = catalog.open_dataset("images", folder)
    assert manifest.images == {"train": 50_000, "test": 10_000}
    assert splits.train.counts() == [5_000] * 10
    mean, _ = splits.train.pixel_statistics()
    assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-4), "the published means"


def published(monkeypatch, source):
    """The Fashion-MNIST entry as if ``source`` held the published files."""
    items = [
        catalog.Published(
            i.url,
            digest(source / i.name, "md5"),
            1,
            hashlib.sha256(fakes.gzip.decompress((source / i.name).read_bytes())).hexdigest(),
        )
        for i in catalog.DATASETS["fashion-mnist"].published
    ]
    entry(monkeypatch, "fashion-mnist", published=tuple(items), usual=())
    return catalog.DATASETS["fashion-mnist"]


def test_what_is_checked_is_what_is_read(monkeypatch, tmp_path):
    """Good packed files beside damaged unpacked ones, which are read first."""
    source = fakes.write_mnist(tmp_path / "raw")
    dataset = published(monkeypatch, source)
    assert catalog.check_published(dataset, source) == "published"
    packed = source / "train-images-idx3-ubyte.gz"
    unpacked = packed.with_suffix("")
    unpacked.write_bytes(fakes.gzip.decompress(packed.read_bytes()))
    assert catalog.check_published(dataset, source) == "published"
    unpacked.write_bytes(unpacked.read_bytes()[:-1] + b"\0")
    assert catalog.check_published(dataset, source) == "modified"


def test_damaged_gzip_files_are_modified(monkeypatch, tmp_path):
    source = fakes.write_mnist(tmp_path / "raw")
    dataset = published(monkeypatch, source)
    path = source / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[20:80] = bytes(60)
    path.write_bytes(content)
    assert catalog.check_published(dataset, source) == "modified"


def test_an_archive_may_have_any_name(monkeypatch, tmp_path):
    archive = fakes.write_cifar_tar(tmp_path / "cifar-10-binary (1).tar.gz")
    item = catalog.Published("https://x.org/y.tar.gz", digest(archive, "md5"), 1)
    entry(monkeypatch, "cifar10", published=(item,))
    assert catalog.check_published(catalog.DATASETS["cifar10"], archive) == "published"


def test_image_folders_that_changed_say_so(tmp_path):
    root = fakes.write_image_folder(tmp_path / "mine")
    assert len(catalog.open_dataset("images", root)[0].train) == 8
    (root / "train" / "cat" / "9.png").write_bytes(fakes.image_bytes(fakes.pixels(8, 8, 3)))
    with pytest.raises(DataError, match="have changed since they were prepared: bntt data prepare images --from"):
        catalog.open_dataset("images", root)
    late = fakes.image_bytes(fakes.pixels(8, 8, 3))
    catalog.prepare("images", root, progress=lambda *_: (root / "train" / "cat" / "late.png").write_bytes(late))
    with pytest.raises(DataError, match="have changed since they were prepared"):
        catalog.open_dataset("images", root)
    catalog.prepare("images", root)
    assert len(catalog.open_dataset("images", root)[0].train) == 10


@each_row("needs", [(), ("root",)])
@each_row("layout", ["numbers", "train test"])
def test_files_of_ones_own_reader_that_changed_say_so(needs, layout, monkeypatch, tmp_path):
    """In any layout."""

    def read(source, progress):
        frames = torch.tensor([float(path.read_text()) for path in sorted(source.rglob("*.txt"))]).view(-1, 1, 1)
        return FrameSplits(*[FrameSet(frames, torch.arange(len(frames)) % 2, ("a", "b"))] * 2)

    def read_otherwise(source, progress):
        return read(source, progress)

    mine = Dataset("frames", "mine", needs=needs, read=read)
    monkeypatch.setitem(catalog.DATASETS, "mine", mine)
    for part in layout.split():
        (tmp_path / part).mkdir()
        (tmp_path / part / "0.txt").write_text("3")
    catalog.prepare("mine", tmp_path)
    assert catalog.open_samples("mine", root=tmp_path)[0].test.frames[0].item() == 3
    for changed in (dataclasses.replace(mine, read=read_otherwise), mine):
        catalog.DATASETS["mine"] = changed
        if changed is mine:
            (tmp_path / part / "1.txt").write_text("4")
        with pytest.raises(
            DataError, match=r"the file of the function that reads them, have changed .*: bntt data prepare mine"
        ):
            catalog.open_samples("mine", root=tmp_path)


@each_row("changed", ["labels.csv", "helper"])
def test_what_lies_beside_the_parts_and_helpers_of_a_reader_count(changed, monkeypatch, tmp_path):
    module = tmp_path / "own_reader.py"
    module.write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_reader", raising=False)
    read = import_module("own_reader").read
    monkeypatch.setitem(catalog.DATASETS, "mine", Dataset("frames", "mine", needs=("root",), read=read))
    root = tmp_path / "data"
    for part in ("train", "test"):
        (root / part).mkdir(parents=True)
        (root / part / "0.txt").write_text("3")
    (root / "labels.csv").write_text("0")
    catalog.prepare("mine", root)
    assert catalog.open_samples("mine", root=root)[0].test.frames[0].item() == 4
    if changed == "helper":
        module.write_text(READER.replace("+ 1", "+ 2.0"))
        linecache.checkcache()
    else:
        (root / changed).write_text("0\n")
    with pytest.raises(DataError, match=r"the file of the function that reads them, have changed"):
        catalog.open_samples("mine", root=root)


READER = """
import torch
from bntt.data import FrameSet, FrameSplits

def helper(number):
    return number + 1

def read(source, progress):
    label = int((source / "labels.csv").read_text())
    frames = torch.tensor([helper(float(path.read_text())) for path in sorted(source.rglob("*.txt"))]).view(-1, 1, 1)
    return FrameSplits(*[FrameSet(frames, torch.full((len(frames),), label), ("a", "b"))] * 2)
"""


def test_another_place_than_it_was_prepared_from(tmp_path):
    first, second = (fakes.write_mnist(tmp_path / name) for name in ("a", "b"))
    catalog.prepare("mnist", first, allow_modified=True)
    catalog.open_dataset("mnist", first)
    with pytest.raises(DataError, match=r"mnist was prepared from .*/a, not from .*/b"):
        catalog.open_dataset("mnist", second)

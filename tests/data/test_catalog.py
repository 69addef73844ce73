"""Finding, preparing and downloading by name; answers are made here, no network."""

import dataclasses
import hashlib
import io
import linecache
import os
import sys
from contextlib import nullcontext
from http.client import BadStatusLine, HTTPMessage, IncompleteRead
from importlib import import_module
from ssl import SSLEOFError
from urllib.error import URLError
from urllib.request import OpenerDirector, Request

import pytest

from bntt.data import catalog
from bntt.data.catalog import _HttpsOnly, download
from bntt.data.samples import Dataset
from bntt.io.errors import DataError
from bntt.io.files import digest
from tests import fakes
from tests.rows import each_row

pytestmark = pytest.mark.usefixtures("cache")


def entry(monkeypatch, name, **changes):
    monkeypatch.setitem(catalog.DATASETS, name, dataclasses.replace(catalog.DATASETS[name], **changes))
    return catalog.DATASETS[name]


@pytest.fixture
def mnist(tmp_path):
    return fakes.write_mnist(tmp_path / "files")


def published(folder, *, md5=True):
    """The published files as if they were those of a folder; without MD5, in another packing."""
    items = []
    for item in catalog.DATASETS["fashion-mnist"].published:
        content = (folder / item.name).read_bytes()
        sha256 = hashlib.sha256(fakes.gzip.decompress(content)).hexdigest()
        items.append(catalog.Published(item.url, hashlib.md5(content * md5).hexdigest(), len(content), sha256))
    return tuple(items)


def test_a_usual_place_is_found_without_being_told(monkeypatch, mnist):
    entry(monkeypatch, "fashion-mnist", usual=(mnist,), published=published(mnist, md5=False))
    splits, manifest = catalog.open_dataset("fashion-mnist")
    assert len(splits.train) == 20
    assert manifest.check == "published", "a repacked archive with the published content"
    assert manifest.source == str(mnist)


def empty(path):
    path.mkdir()
    return path


@each_row(
    ("call", "named"),
    [
        (lambda path: catalog.open_dataset("fashion-mnist"), "bntt data prepare fashion-mnist --from .*--download"),
        (lambda path: catalog.open_dataset("no-such"), "'no-such': .*cifar10, "),
        (lambda path: catalog.prepare("no-such"), "'no-such': .*cifar10, "),
        (lambda path: catalog.prepare("cifar10", path / "place"), "place does not exist: cifar10"),
        (lambda path: catalog.prepare("cifar10", empty(path / "place")), "place is empty: cifar10"),
        (lambda path: catalog.prepare("tiny-imagenet", download=True), "tiny-imagenet has no published checksum"),
        (lambda path: catalog.prepared_folder("images"), "'images'"),
    ],
)
def test_what_is_nowhere_says_how_to_get_it(call, named, monkeypatch, tmp_path):
    entry(monkeypatch, "fashion-mnist", usual=())
    with pytest.raises(DataError, match=named):
        call(tmp_path)


def test_download_of_every_file_and_then_no_more(monkeypatch, mnist):
    items = published(mnist)
    entry(monkeypatch, "mnist", published=items)
    asked = []

    def fake_download(url, target, *, md5, size, progress):
        asked.append(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((mnist / target.name).read_bytes())
        progress(size, size)

    monkeypatch.setattr(catalog, "download", fake_download)
    told = []
    _, manifest = catalog.prepare("mnist", download=True, progress=lambda *counts: told.append(counts))
    assert manifest.check == "published"
    assert told == [(item.size, item.size) for item in items]
    assert asked == [item.url for item in items]
    catalog.prepare("mnist", download=True)
    assert len(asked) == 4, "what has the right checksum is not fetched again"


def test_every_published_file_is_https_and_has_a_checksum():
    items = [item for dataset in catalog.DATASETS.values() for item in dataset.published]
    assert all(item.url.startswith("https://") and len(item.md5) == 32 and item.size > 0 for item in items)
    assert len(items) >= 10


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "place", "images"),
    [("fashion-mnist", "fashion-mnist", 60_000), ("images", "cifar10-jpeg", 50_000)],
)
def test_the_real_files_are_complete(name, place, images):
    splits, manifest = catalog.open_dataset(name, fakes.real(place))
    assert manifest.images == {"train": images, "test": 10_000}
    assert splits.train.counts() == [images // 10] * 10
    assert manifest.check == ("unchecked" if name == "images" else "published")
    if name == "images":
        mean, _ = splits.train.pixel_statistics()
        assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-4), "the published means"


def test_what_is_checked_is_what_is_read(monkeypatch, mnist):
    """Good packed files beside damaged unpacked ones, which are read first."""
    dataset = entry(monkeypatch, "fashion-mnist", published=published(mnist))
    assert catalog.check_published(dataset, mnist) == "published"
    packed = mnist / "train-images-idx3-ubyte.gz"
    unpacked = packed.with_suffix("")
    unpacked.write_bytes(fakes.gzip.decompress(packed.read_bytes()))
    assert catalog.check_published(dataset, mnist) == "published"
    unpacked.write_bytes(unpacked.read_bytes()[:-1] + b"\0")
    assert catalog.check_published(dataset, mnist) == "modified"
    unpacked.unlink()
    content = bytearray(packed.read_bytes())
    content[20:80] = bytes(60)
    packed.write_bytes(content)
    assert catalog.check_published(dataset, mnist) == "modified", "a damaged gzip file"


def test_an_archive_may_have_any_name(monkeypatch, tmp_path):
    archive = fakes.write_cifar_tar(tmp_path / "cifar-10-binary (1).tar.gz")
    item = catalog.Published("https://x.org/y.tar.gz", digest(archive, "md5"), 1)
    assert catalog.check_published(entry(monkeypatch, "cifar10", published=(item,)), archive) == "published"


def test_image_folders_have_a_place_each_and_say_that_they_changed(tmp_path):
    root = fakes.write_image_folder(tmp_path / "mine")
    assert catalog.prepared_folder("images", root) != catalog.prepared_folder("images", tmp_path / "other")
    assert len(catalog.open_dataset("images", root)[0].train) == 8
    late = fakes.image_bytes(fakes.pixels(8, 8, 3))
    (root / "train" / "cat" / "9.png").write_bytes(late)
    for progress in (None, lambda *_: (root / "train" / "cat" / "late.png").write_bytes(late)):
        if progress:  # a file that comes while the others are read
            catalog.prepare("images", root, progress=progress)
        with pytest.raises(DataError, match="bntt data prepare images --from"):
            catalog.open_dataset("images", root)
    catalog.prepare("images", root)
    assert len(catalog.open_dataset("images", root)[0].train) == 10


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


@each_row("needs", [(), ("root",)])
@each_row("changed", ["labels.csv", "train/1.txt", "helper"])
def test_files_and_code_of_ones_own_reader_that_changed_say_so(needs, changed, monkeypatch, tmp_path, cache):
    """In any layout: what lies beside the parts, and what the reader calls."""
    module = tmp_path / "own_reader.py"
    module.write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_reader", raising=False)
    read = import_module("own_reader").read
    monkeypatch.setitem(catalog.DATASETS, "mine", Dataset("frames", "mine", needs=needs, read=read))
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
    with pytest.raises(DataError, match=r"reads them, have changed.*bntt data prepare mine"):
        catalog.open_samples("mine", root=root)


CONTENT = b"the published bytes" * 1000


class Opener(OpenerDirector):
    """Answers with given bytes, or fails."""

    def __init__(self, answer):
        self.answer = answer

    def open(self, request, timeout):
        if isinstance(self.answer, Exception):
            raise self.answer
        return nullcontext(Broken() if self.answer is Broken else io.BytesIO(self.answer))


class Broken:
    """An answer that breaks off."""

    def read(self, count):
        raise IncompleteRead(b"the publi")


def fetch(tmp_path, answer, url="https://example.org/x.bin", **options):
    target, md5 = tmp_path / "folder" / "x.bin", hashlib.md5(CONTENT).hexdigest()
    download(url, target, md5=md5, size=len(CONTENT), opener=Opener(answer), **options)
    return target


def test_the_published_bytes_arrive_and_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "CHUNK", 8000)
    told = []
    target = fetch(tmp_path, CONTENT, progress=lambda done, total: told.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == ["x.bin"]
    assert told == [(8000, 19000), (16000, 19000), (19000, 19000)]


@each_row(
    ("answer", "named"),
    [
        (CONTENT[:-1], "MD5"),
        (b"<html>sorry</html>", "MD5"),
        (CONTENT.replace(b"t", b"T"), "MD5"),
        (CONTENT + b"more", "19000 bytes"),
        (URLError("no route"), "no route.*--from"),
        (TimeoutError("slow"), "slow.*--from"),
        (BadStatusLine("?"), r"\?.*--from"),
        (SSLEOFError("eof"), "eof.*--from"),
        (Broken, "IncompleteRead.*--from"),
    ],
)
def test_anything_else_leaves_nothing(answer, named, tmp_path):
    with pytest.raises(DataError, match=rf"https://example\.org/x\.bin.*{named}"):
        fetch(tmp_path, answer)
    assert not list((tmp_path / "folder").iterdir())


def test_a_redirect_away_from_https_is_refused(tmp_path):
    for url in ("http://example.org/x", "ftp://example.org/x", "file:///etc/passwd"):
        with pytest.raises(DataError, match="https"):
            fetch(tmp_path, CONTENT, url)
        with open(os.devnull, "rb") as nowhere, pytest.raises(DataError, match="https"):
            _HttpsOnly().redirect_request(Request("https://a.org"), nowhere, 302, "", HTTPMessage(), url)

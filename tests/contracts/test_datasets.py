"""Every dataset, on tiny files in its real format: read, prepared, verified, loaded, and the same every way."""

import dataclasses

import pytest
import torch

from bntt.data import FrameSet, ImageSet, SampleLoader, SampleSet, SequenceSet, catalog
from bntt.data.events.aedat2 import SIMULATED
from bntt.data.events.binning import Binning
from bntt.data.events.event_sets import EVENT_SETS, Framing, open_event_set, prepare_event_set
from bntt.data.images.cifar import CIFAR100, read_cifar10, read_cifar100
from bntt.data.prepared import load_prepared, read_manifest
from bntt.data.sequences import ORDERS
from tests import fakes

WAYS = {
    "cifar10": [
        lambda p: fakes.write_cifar(p / "bin"),
        lambda p: fakes.write_cifar_tar(p / "cifar-10-binary.tar.gz"),
    ],
    "cifar100": [
        lambda p: fakes.write_cifar(p / "bin", CIFAR100, 100),
        lambda p: fakes.write_cifar_tar(p / "cifar-100-binary.tar.gz", CIFAR100, 100),
    ],
    "mnist": [lambda p: fakes.write_mnist(p / "gz"), lambda p: fakes.write_mnist(p / "raw", packed=False)],
    "fashion-mnist": [lambda p: fakes.write_mnist(p / "gz"), lambda p: fakes.write_mnist(p / "raw", packed=False)],
    "images": [
        lambda p: fakes.write_image_folder(p / "folder"),
        lambda p: fakes.write_image_zips(p / "zips", fakes.write_image_folder(p / "source")),
        lambda p: fakes.write_one_zip(p / "all.zip", fakes.write_image_folder(p / "another")),
    ],
    "tiny-imagenet": [lambda p: fakes.write_tiny_imagenet(p / "tiny-imagenet-200")],
}
EXPECTED = {
    "cifar10": ((50, 3, 32, 32), 10, 10),
    "cifar100": ((50, 3, 32, 32), 10, 100),
    "mnist": ((20, 1, 28, 28), 10, 10),
    "fashion-mnist": ((20, 1, 28, 28), 10, 10),
    "images": ((8, 3, 8, 8), 4, 2),
    "tiny-imagenet": ((6, 3, 16, 16), 2, 3),
}


def simulated(seed: int) -> bytes:
    return fakes.aedat2_bytes(seed, notes=f"{SIMULATED}\r\n#End Of ASCII Header\r\n")


FOUR = Binning(4, 16, 16)
RECORDINGS = {
    "dvs-cifar10": (lambda p: fakes.write_recordings(p / "dvs"), Framing(FOUR), (8, 2)),
    "n-mnist": (lambda p: fakes.write_nmnist(p / "n"), Framing(FOUR), (4, 4)),
    "cifar10-simulated": (lambda p: fakes.write_recordings(p / "c", simulated), Framing(FOUR), (8, 2)),
    "fashion-mnist-simulated": (lambda p: fakes.write_recordings(p / "f", simulated), Framing(FOUR), (8, 2)),
    "events": (
        lambda p: fakes.write_recordings(p / "own", fakes.npz_bytes, ".npz"),
        Framing(FOUR, "npz", (60, 80)),
        (8, 2),
    ),
}
"""How to write it, how it becomes frames, and how many recordings each part has."""


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """The cache is the test's own, and CIFAR's files have 60 records in all."""
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    for name, read in (("cifar10", read_cifar10), ("cifar100", read_cifar100)):
        tiny = dataclasses.replace(catalog.DATASETS[name], read=fakes.read_tiny(read, name))
        monkeypatch.setitem(catalog.DATASETS, name, tiny)
    for name in ("fashion-mnist",):
        monkeypatch.setitem(catalog.DATASETS, name, dataclasses.replace(catalog.DATASETS[name], usual=()))


def test_the_tables_have_every_dataset():
    assert WAYS.keys() == EXPECTED.keys() == catalog.DATASETS.keys()
    assert RECORDINGS.keys() == EVENT_SETS.keys()


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_prepared_once_and_the_same_from_every_form(name, tmp_path):
    shape, test_images, classes = EXPECTED[name]
    loaded = []
    for write in WAYS[name]:
        folder, manifest = catalog.prepare(name, write(tmp_path), allow_modified=True)
        assert read_manifest(folder) == manifest
        splits = load_prepared(folder, manifest)
        assert tuple(splits.train.images.shape) == shape
        assert len(splits.test) == manifest.images["test"] == test_images
        assert len(splits.train.classes) == classes
        assert splits.train.images.dtype == torch.uint8
        loaded.append(splits)
    for other in loaded[1:]:
        for a, b in zip(loaded[0], other, strict=True):
            assert torch.equal(a.images, b.images)
            assert torch.equal(a.labels, b.labels)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", catalog.DATASETS)
def test_every_set_of_images_can_be_told_over_time(name, order, tmp_path):
    (count, channels, height, width), _, classes = EXPECTED[name]
    folder, manifest = catalog.prepare(name, WAYS[name][0](tmp_path), allow_modified=True)
    images = load_prepared(folder, manifest).train
    data = SequenceSet(images, order)
    assert isinstance(data, SampleSet)
    shape = (height, channels * width) if order == "rows" else (height * width, channels)
    assert (data.num_steps, data.features) == shape
    assert (len(data), len(data.classes)) == (count, classes)
    batch = next(SampleLoader(data, count).epoch(0))
    assert batch.inputs.shape == (count, *shape)
    assert torch.equal(batch.inputs.flatten(1).sort(1).values, images.batch(batch.indices).flatten(1).sort(1).values)


@pytest.mark.parametrize("name", [n for n, d in catalog.DATASETS.items() if d.published])
def test_what_differs_from_the_published_files_is_refused_or_marked(name, tmp_path):
    source = WAYS[name][-1 if "cifar" in name else 0](tmp_path)
    with pytest.raises(catalog.DataError, match=rf"is not the published {name} .*--allow-modified-data"):
        catalog.prepare(name, source)
    assert catalog.prepare(name, source, allow_modified=True)[1].check == "modified"


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_a_changed_tensor_file_is_found(name, tmp_path):
    source = WAYS[name][0](tmp_path)
    folder, manifest = catalog.prepare(name, source, allow_modified=True)
    file = folder / "train.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(catalog.DataError, match=r"train.safetensors has changed since it was prepared"):
        load_prepared(folder, manifest)


@pytest.mark.parametrize("name", EVENT_SETS)
def test_recordings_become_frames_once_and_keep_every_event(name, tmp_path):
    write, framing, counts = RECORDINGS[name]
    root = write(tmp_path)
    folder, manifest = prepare_event_set(name, framing, root)
    assert read_manifest(folder) == manifest
    splits, same = open_event_set(name, framing, root)
    assert same == manifest
    assert manifest.shape == [4, 2, 16, 16]
    assert tuple(manifest.images.values()) == tuple(map(len, splits)) == counts
    assert all(isinstance(part, FrameSet) and part.frames.dtype == torch.uint8 for part in splits)
    assert sum(int(part.frames.sum()) for part in splits) == manifest.details["events"] == 300 * sum(counts)
    file = folder / "test.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(catalog.DataError, match=r"test.safetensors has changed since it was prepared"):
        open_event_set(name, framing, root)


@pytest.mark.parametrize("name", catalog.BUILT_IN)
def test_what_is_built_in_needs_no_file(name):
    splits, manifest = catalog.open_dataset(name)
    assert (manifest.check, manifest.sha256.keys()) == ("built in", {"train", "test"})
    assert isinstance(splits.train, ImageSet)
    assert min(splits.train.counts()) > 0

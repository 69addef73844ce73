"""Every dataset, on tiny files in its real format: its facts, read, prepared, verified, loaded, the same every way."""

import dataclasses
from pathlib import Path

import pytest
import torch

from bntt.cli import main as cli
from bntt.data import DataError, FrameSet, ImageSet, SampleLoader, SampleSet, SequenceSet
from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS
from bntt.data.catalog import open_dataset, open_samples, prepare
from bntt.data.events.binning import Binning
from bntt.data.events.formats import SIMULATED, Framing
from bntt.data.images import CIFAR100
from bntt.data.prepared import load_prepared, read_manifest
from bntt.data.samples import DATASETS, ORDERS
from bntt.io.files import names_in
from bntt.runs.recipe.file import RecipeError, load_recipe
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
BUILT_IN = [name for name, dataset in DATASETS.items() if dataset.make]
DATASETS_PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "datasets.md"


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """The cache is the test's own, and CIFAR's files have 60 records in all."""
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    for name in ("cifar10", "cifar100"):
        monkeypatch.setitem(
            DATASETS, name, dataclasses.replace(DATASETS[name], read=fakes.read_tiny(name), published=())
        )
    monkeypatch.setitem(DATASETS, "fashion-mnist", dataclasses.replace(DATASETS["fashion-mnist"], usual=()))


def test_the_lists_of_datasets_agree(capsys, monkeypatch):
    """The registry, these tables, ``bntt list``, the documentation's page and what a recipe may name."""
    monkeypatch.undo()
    assert DATASETS.keys() == {*WAYS, *RECORDINGS, *BUILT_IN}
    assert WAYS.keys() == EXPECTED.keys()
    assert cli.main(["list", "datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [name for name in DATASETS if f"`{name}`" not in DATASETS_PAGE.read_text()] == []
    assert [line.partition(":")[0] for line in lines[::2]] == sorted(DATASETS)
    for name in DATASETS:
        assert load_recipe("demo", [f"data.name={name}"]).data.name == name
    with pytest.raises(RecipeError, match="did you mean 'cifar10'"):
        load_recipe("demo", ["data.name=cifar1"])


OF_THE_RECORD = ("cifar10-compact-ann", "cifar10-compact-hybrid")
"""Recipes that augment as "cifar10-record" does, to be compared with it."""


def test_facts_are_those_of_the_recipes_and_of_what_is_read():
    for name in names_in("runs/recipes"):
        data = load_recipe(name).data
        if not name.endswith(("-best", "-record")) and not data.order:
            beside = {"cutout"} | ({"erase"} if name in OF_THE_RECORD else set())
            assert {*data.augment} - beside == {*DATASETS[data.name].augment}, name
    for name, dataset in DATASETS.items():
        assert {*dataset.augment} <= (EVENT_AUGMENTATIONS if dataset.formats else AUGMENTATIONS).keys(), name
    for name in BUILT_IN:
        splits, manifest = open_dataset(name)
        facts = DATASETS[name]
        assert (tuple(manifest.shape), len(manifest.classes)) == (facts.shape, facts.classes)
        assert tuple(manifest.images.values()) == facts.samples
        assert (manifest.check, manifest.sha256.keys()) == ("built in", {"train", "test"})
        assert isinstance(splits.train, ImageSet)
        assert min(splits.train.counts()) > 0
    for name in ("cifar10", "cifar100", "mnist", "fashion-mnist"):
        shape, _, classes = EXPECTED[name]
        assert (DATASETS[name].shape, DATASETS[name].classes) == (shape[1:], classes)


@pytest.mark.parametrize("name", WAYS)
def test_prepared_once_and_the_same_from_every_form(name, tmp_path):
    shape, test_images, classes = EXPECTED[name]
    loaded = []
    for write in WAYS[name]:
        folder, manifest = prepare(name, write(tmp_path), allow_modified=True)
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
    for order in ORDERS:
        told_over_time(loaded[0].train, order)
    file = folder / "train.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"train.safetensors has changed since it was prepared"):
        load_prepared(folder, manifest)


def told_over_time(images, order):
    count, channels, height, width = images.images.shape
    data = SequenceSet(images, order)
    assert isinstance(data, SampleSet)
    shape = (height, channels * width) if order == "rows" else (height * width, channels)
    assert (data.num_steps, data.features, len(data)) == (*shape, count)
    batch = next(SampleLoader(data, count).epoch(0))
    assert batch.inputs.shape == (count, *shape)
    assert torch.equal(batch.inputs.flatten(1).sort(1).values, images.batch(batch.indices).flatten(1).sort(1).values)


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_what_differs_from_the_published_files_is_refused_or_marked(name, tmp_path, monkeypatch):
    """One archive, and a folder of several files."""
    monkeypatch.undo()
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    source = WAYS[name][-1 if "cifar" in name else 0](tmp_path)
    with pytest.raises(DataError, match=rf"is not the published {name} .*--allow-modified-data"):
        prepare(name, source)
    known = DATASETS[name]
    dataset = dataclasses.replace(known, read=fakes.read_tiny(name) if "c" in name else known.read)
    monkeypatch.setitem(DATASETS, name, dataset)
    assert prepare(name, source, allow_modified=True)[1].check == "modified"


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_become_frames_once_and_keep_every_event(name, tmp_path):
    write, framing, counts = RECORDINGS[name]
    root = write(tmp_path)
    folder, manifest = prepare(name, root, framing=framing)
    assert read_manifest(folder) == manifest
    splits, same = open_samples(name, framing, root)
    assert same == manifest
    assert manifest.shape == [4, 2, 16, 16]
    assert tuple(manifest.images.values()) == tuple(map(len, splits)) == counts
    assert all(isinstance(part, FrameSet) and part.frames.dtype == torch.uint8 for part in splits)
    assert sum(int(part.frames.sum()) for part in splits) == manifest.details["events"] == 300 * sum(counts)
    file = folder / "test.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"test.safetensors has changed since it was prepared"):
        open_samples(name, framing, root)

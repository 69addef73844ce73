"""A folder of recordings made into frames once: every file, its part, its class, and what was counted."""

import dataclasses
import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from bntt.data import SampleLoader, SampleSet, split_validation
from bntt.data.catalog import content_of, prepare_events, split_digest
from bntt.data.events.binning import Binning, Events, to_frames
from bntt.data.events.formats import EVENT_FORMATS, read_aedat2
from bntt.data.listing import split_by_name
from bntt.data.prepared import load_prepared, read_manifest
from bntt.io.errors import DataError
from tests.data.damaged import VERSION
from tests.data.events.aedat4_files import recording as aedat4_recording
from tests.fakes import aedat2_bytes as recording
from tests.rows import each_row

CIFAR10_DVS = [f"{label}/cifar10_{label}_{number}" for label in ("airplane", "truck") for number in range(1000)]


def test_a_tenth_of_every_class_by_its_names_digests_is_for_testing():
    split = split_by_name(reversed(CIFAR10_DVS))
    assert (len(split["train"]), len(split["test"])) == (1800, 200)
    assert sorted((*split["train"], *split["test"])) == sorted(CIFAR10_DVS)
    trucks = sorted(CIFAR10_DVS[1000:], key=lambda name: hashlib.sha256(name.encode()).digest())[:100]
    assert [name for name in split["test"] if name.startswith("truck/")] == sorted(trucks)
    assert split["test"][:2] == ["airplane/cifar10_airplane_10", "airplane/cifar10_airplane_102"]
    assert split_digest(split)[:16] == "6ae16877de496660", "the one of every version"
    assert split_by_name(CIFAR10_DVS[:1000])["test"] == split["test"][:100], "other classes do not matter"
    for count, tests in ((2, 1), (14, 1), (16, 2)):
        split = split_by_name([f"{c}/{i}" for c in "abc" for i in range(count)])
        assert [sum(name[0] == c for name in split["test"]) for c in "abc"] == [tests] * 3


def test_a_name_that_changes_part_changes_the_digest():
    parts = [(["a/1", "a/2"], ["a/3"]), (["a/1"], ["a/2", "a/3"]), (["a/2", "a/1"], ["a/3"]), (["a/1", "\udcff"], [])]
    assert len({split_digest({"train": train, "test": test}) for train, test in parts}) == 4


def test_content_is_that_of_the_events():
    events = Events(np.array([7, 9]), *(np.array(v, "u2") for v in ([1, 2], [3, 4], [0, 1])), 5, 6)
    same = Events(np.array([107, 109]), *(np.array(v, "i8") for v in ([1, 2], [3, 4], [0, 1])), 5, 6, left_out=3)
    assert content_of(events) == content_of(same)
    changes = {"t": np.array([7, 8]), "x": np.array([1, 1]), "y": np.array([3, 3]), "p": np.array([1, 1]), "width": 7}
    others = [content_of(replace(events, **{name: value})) for name, value in changes.items()]
    assert len({content_of(events), *others}) == 6


BINNING = Binning(4, 42, 42)
AEDAT2 = EVENT_FORMATS["aedat2"]
NAMES = [f"{label}/{label}_{number}" for label in ("cat", "dog") for number in range(5)]


def write(root, count=5, labels=("cat", "dog"), seed=0):
    for label in labels:
        (root / label).mkdir(parents=True)
        for number in range(count):
            seed += 1
            (root / label / f"{label}_{number}.aedat").write_bytes(recording(seed))
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "recordings")


def prepare(root, tmp_path, binning=BINNING, kind=AEDAT2, **options):
    return prepare_events(root, tmp_path / "cache" / "mine", binning, kind, name="mine", **options)


def test_every_recording_is_in_its_part_with_its_class(root, tmp_path):
    told = []
    manifest = prepare(root, tmp_path, progress=lambda done, total: told.append((done, total)))
    folder = tmp_path / "cache" / "mine"
    assert read_manifest(folder) == manifest
    assert told == [(number, 10) for number in range(1, 11)]
    split = json.loads((folder / "split.json").read_text())
    assert split.pop("sha256") == split_digest(split)
    assert split == split_by_name(NAMES)
    parts = load_prepared(folder, manifest)
    assert (manifest.images, manifest.shape) == ({"train": 8, "test": 2}, [4, 2, 42, 42])
    for part, names in zip(parts, split.values(), strict=True):
        assert isinstance(part, SampleSet)
        for number, name in enumerate(names):
            expected = to_frames(read_aedat2(root / f"{name}.aedat"), BINNING).counts
            assert torch.equal(part.frames[number], expected)
            assert part.classes[int(part.labels[number])] == name.partition("/")[0]
    details = manifest.details
    assert (details["events"], details["saturated"], details["left_out"]) == (3000, 0, 0)
    assert (details["bits"], details["binning"]) == ({"train": 8, "test": 8}, dataclasses.asdict(BINNING))
    training, validation, index = split_validation(parts.train, 2, seed=0)
    assert training.frames.data_ptr() == parts.train.frames.data_ptr() == validation.frames.data_ptr()
    (batch,) = SampleLoader(validation, 2).epoch(0)
    assert torch.equal(batch.inputs, parts.train.frames[index].float())
    assert torch.equal(batch.labels, parts.train.labels[index])


@each_row(
    ("place", "train", "test"),
    [(".", "Train", "Test"), (".", "train", "val"), ("DVS", "Train/all", "test")],
)
def test_parts_that_are_there_are_kept(place, train, test, tmp_path):
    place = tmp_path / "set" / place
    write(place / train, 3)
    write(place / test, 1, seed=100)
    manifest = prepare(tmp_path / "set", tmp_path)
    assert (manifest.images, manifest.classes) == ({"train": 6, "test": 2}, ["cat", "dog"])
    first = read_aedat2(place / test / "dog" / "dog_0.aedat")
    train, test = load_prepared(tmp_path / "cache" / "mine", manifest)
    assert torch.equal(test.frames[1], to_frames(first, BINNING).counts)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_full_cell_widens_its_part(root, tmp_path):
    crowded = np.stack([np.full(900, 5), np.arange(900)], 1)
    (root / f"{split_by_name(NAMES)['train'][0]}.aedat").write_bytes(VERSION + crowded.astype(">u4").tobytes())
    manifest = prepare(root, tmp_path, Binning(1, 42, 42))
    train, test = load_prepared(tmp_path / "cache" / "mine", manifest)
    assert (train.frames.dtype, int(train.frames.long().max()), test.frames.dtype) == (torch.uint16, 900, torch.uint8)
    assert manifest.details["bits"] == {"train": 16, "test": 8}
    manifest = prepare(root, tmp_path, Binning(1, 42, 42, beyond="saturate"))
    train, _ = load_prepared(tmp_path / "cache" / "mine", manifest)
    assert (int(train.frames.max()), manifest.details["saturated"]) == (255, 645)


def test_what_is_no_event_and_empty_frames_are_counted(root, tmp_path):
    path = root / "dog" / "dog_0.aedat"
    path.write_bytes(path.read_bytes() + bytes.fromhex("00008000 00003000") * 3)
    at_once = np.stack([np.arange(9), np.full(9, 77)], 1)
    for path in (root / "cat").iterdir():
        path.write_bytes(VERSION + (at_once + np.array([int(path.stem[-1]), 0])).astype(">u4").tobytes())
    details = prepare(root, tmp_path).details
    assert (details["left_out"], details["events"], details["empty"]) == (3, 1545, pytest.approx(0.5 * 0.75))


def rewritten(root, name, content):
    (root / "dog" / name).write_bytes(content)


def twice(root):
    train, test = split_by_name(NAMES).values()
    content = (root / f"{train[0]}.aedat").read_bytes()
    (root / f"{test[1]}.aedat").write_bytes(content.replace(VERSION, VERSION + b"# created on another day\r\n"))


def only_train(root):
    (root / "train").mkdir()
    for label in ("cat", "dog"):
        (root / label).rename(root / "train" / label)


def other_classes(root):
    only_train(root)
    write(root / "test", 2, ["cat", "cow"], seed=50)


def two_sensors(root):
    for number in range(5):
        for label, size in (("cat", 128), ("dog", 64)):
            rewritten(root, f"../{label}/{number}.aedat4", aedat4_recording(number + size, height=size, width=size))
            (root / label / f"{label}_{number}.aedat").unlink()


@each_row(
    ("change", "named"),
    [
        (lambda root: rewritten(root, "dog_3.aedat", VERSION), "dog_3.aedat: .* no event"),
        (lambda root: rewritten(root, "notes.txt", b""), "notes.txt"),
        (lambda root: rewritten(root, "../lone.aedat", b""), "lone.aedat lies beside"),
        (lambda root: (root / "bird").mkdir(), "bird holds no file"),
        (lambda root: rewritten(root, "dog_1.AEDAT", recording(0)), "same name"),
        (lambda root: write(root, 1, ["bird"]), "class bird"),
        (lambda root: (root / "dog" / "gone.aedat").symlink_to("nowhere"), "leads nowhere"),
        (lambda root: os.mkfifo(root / "dog" / "dog_7.aedat"), "dog_7.aedat is neither"),
        (twice, rf"{split_by_name(NAMES)['test'][1]} \(test\) and .* \(train\)"),
        (only_train, "only one part"),
        (other_classes, "differ: cow, dog"),
        (two_sensors, "64x64, .*aedat4 of 128x128"),
    ],
)
def test_a_folder_with_something_wrong(change, named, tmp_path):
    change(root := write(tmp_path / "recordings"))
    if change is two_sensors:
        pytest.importorskip("aedat")
    kind = EVENT_FORMATS["aedat4"] if change is two_sensors else AEDAT2
    with pytest.raises(DataError, match=named):
        prepare(root, tmp_path, kind=kind)
    assert not list(tmp_path.glob("cache/*")), "nothing is left of it"


def test_no_folder_or_nothing_in_it_or_frames_that_do_not_fit(root, tmp_path):
    (tmp_path / "set").mkdir()
    for place, binning, named in (
        (tmp_path / "nowhere", BINNING, "nowhere is no folder"),
        (tmp_path / "set", BINNING, "set holds no file"),
        (root, Binning(4, 129, 42), r"cat_\d.aedat: .* 129x42 .* 128x128"),
    ):
        with pytest.raises(DataError, match=named):
            prepare(place, tmp_path, binning)
    write(tmp_path / "vehicles", labels=["bus", "train"])
    assert prepare(tmp_path / "vehicles", tmp_path).classes == ["bus", "train"], "a class may have this name"


def test_every_format_reads_its_files(tmp_path):
    np.savez(tmp_path / "a.npz", t=[1], x=[127], y=[0], p=[1])
    (tmp_path / "a.bin").write_bytes(bytes([3, 5, 0x80, 1, 0]))
    (tmp_path / "a.aedat").write_bytes(VERSION + bytes.fromhex("00000802 00000001"))
    expected = {
        "aedat2": [119, 126, 1],
        "aedat2-raw": [1, 8, 0],
        "aedat2-davis240": [0, 0, 1],
        "aedat2-davis346": [0, 0, 1],
        "nmnist": [3, 5, 1],
        "npz": [127, 0, 1],
    }
    assert EVENT_FORMATS.keys() == {*expected, "aedat4"}
    for name, places in expected.items():
        events = EVENT_FORMATS[name].read(tmp_path / f"a{EVENT_FORMATS[name].ending}")
        assert [int(getattr(events, axis)[0]) for axis in "xyp"] == places, name

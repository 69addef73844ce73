"""Folders of recordings made into frames once, by path and by name: every file, its part, its class."""

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from bntt.data import SampleLoader, SampleSet, split_validation
from bntt.data.catalog import (
    content_of,
    open_samples,
    prepare,
    prepare_events,
    prepared_folder,
    prepared_folders,
    simulated_root,
    split_digest,
)
from bntt.data.events.binning import Binning, Events, to_frames
from bntt.data.events.formats import EVENT_FORMATS, SIMULATED, Framing, read_aedat2, read_event_archive
from bntt.data.listing import split_by_name
from bntt.data.prepared import load_prepared, read_manifest
from bntt.io.errors import DataError
from tests import fakes
from tests.data.aedat4_files import recording as aedat4_recording
from tests.fakes import aedat2_bytes as recording
from tests.rows import each_row

VERSION = b"#!AER-DAT2.0\r\n"
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


def write_classes(root, count=5, labels=("cat", "dog"), seed=0):
    for label in labels:
        (root / label).mkdir(parents=True)
        for number in range(count):
            seed += 1
            (root / label / f"{label}_{number}.aedat").write_bytes(recording(seed))
    return root


@pytest.fixture
def root(tmp_path):
    return write_classes(tmp_path / "recordings")


def prepare_mine(root, tmp_path, binning=BINNING, kind=AEDAT2, **options):
    return prepare_events(root, tmp_path / "cache" / "mine", binning, kind, name="mine", **options)


def test_every_recording_is_in_its_part_with_its_class(root, tmp_path):
    told = []
    manifest = prepare_mine(root, tmp_path, progress=lambda done, total: told.append((done, total)))
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
    write_classes(place / train, 3)
    write_classes(place / test, 1, seed=100)
    manifest = prepare_mine(tmp_path / "set", tmp_path)
    assert (manifest.images, manifest.classes) == ({"train": 6, "test": 2}, ["cat", "dog"])
    first = read_aedat2(place / test / "dog" / "dog_0.aedat")
    train, test = load_prepared(tmp_path / "cache" / "mine", manifest)
    assert torch.equal(test.frames[1], to_frames(first, BINNING).counts)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_full_cell_widens_its_part(root, tmp_path):
    crowded = np.stack([np.full(900, 5), np.arange(900)], 1)
    (root / f"{split_by_name(NAMES)['train'][0]}.aedat").write_bytes(VERSION + crowded.astype(">u4").tobytes())
    manifest = prepare_mine(root, tmp_path, Binning(1, 42, 42))
    train, test = load_prepared(tmp_path / "cache" / "mine", manifest)
    assert (train.frames.dtype, int(train.frames.long().max()), test.frames.dtype) == (torch.uint16, 900, torch.uint8)
    assert manifest.details["bits"] == {"train": 16, "test": 8}
    manifest = prepare_mine(root, tmp_path, Binning(1, 42, 42, beyond="saturate"))
    train, _ = load_prepared(tmp_path / "cache" / "mine", manifest)
    assert (int(train.frames.max()), manifest.details["saturated"]) == (255, 645)


def test_what_is_no_event_and_empty_frames_are_counted(root, tmp_path):
    path = root / "dog" / "dog_0.aedat"
    path.write_bytes(path.read_bytes() + bytes.fromhex("00008000 00003000") * 3)
    at_once = np.stack([np.arange(9), np.full(9, 77)], 1)
    for path in (root / "cat").iterdir():
        path.write_bytes(VERSION + (at_once + np.array([int(path.stem[-1]), 0])).astype(">u4").tobytes())
    details = prepare_mine(root, tmp_path).details
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
    write_classes(root / "test", 2, ["cat", "cow"], seed=50)


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
        (lambda root: write_classes(root, 1, ["bird"]), "class bird"),
        (lambda root: (root / "dog" / "gone.aedat").symlink_to("nowhere"), "leads nowhere"),
        (lambda root: os.mkfifo(root / "dog" / "dog_7.aedat"), "dog_7.aedat is neither"),
        (twice, rf"{split_by_name(NAMES)['test'][1]} \(test\) and .* \(train\)"),
        (only_train, "only one part"),
        (other_classes, "differ: cow, dog"),
        (two_sensors, "64x64, .*aedat4 of 128x128"),
    ],
)
def test_a_folder_with_something_wrong(change, named, tmp_path):
    change(root := write_classes(tmp_path / "recordings"))
    if change is two_sensors:
        pytest.importorskip("aedat")
    kind = EVENT_FORMATS["aedat4"] if change is two_sensors else AEDAT2
    with pytest.raises(DataError, match=named):
        prepare_mine(root, tmp_path, kind=kind)
    assert not list(tmp_path.glob("cache/*")), "nothing is left of it"


def test_no_folder_or_nothing_in_it_or_frames_that_do_not_fit(root, tmp_path):
    (tmp_path / "set").mkdir()
    for place, binning, named in (
        (tmp_path / "nowhere", BINNING, "nowhere is no folder"),
        (tmp_path / "set", BINNING, "set holds no file"),
        (root, Binning(4, 129, 42), r"cat_\d.aedat: .* 129x42 .* 128x128"),
    ):
        with pytest.raises(DataError, match=named):
            prepare_mine(place, tmp_path, binning)
    write_classes(tmp_path / "vehicles", labels=["bus", "train"])
    assert prepare_mine(tmp_path / "vehicles", tmp_path).classes == ["bus", "train"], "a class may have this name"


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


FOUR = Binning(4, 16, 16)
SMALL = Framing(FOUR)
OWN = Framing(FOUR, "aedat2")
pytestmark = pytest.mark.usefixtures("cache")


def simulated(seed):
    return fakes.aedat2_bytes(seed, notes=f"{SIMULATED}\r\n#End Of ASCII Header\r\n")


def test_frames_are_those_of_the_files_and_prepared_once(tmp_path, cache):
    root = fakes.write_recordings(tmp_path / "set")
    told = []
    splits, manifest = open_samples("dvs-cifar10", SMALL, root, lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert (manifest.name, manifest.check, manifest.images) == ("dvs-cifar10", "unchecked", {"train": 8, "test": 2})
    paths = sorted(root.rglob("*.aedat"))
    of_files = torch.stack([to_frames(read_aedat2(path), FOUR).counts for path in paths])
    both = torch.cat([splits.train.frames, splits.test.frames])
    assert sorted(both.flatten(1).tolist()) == sorted(of_files.flatten(1).tolist())
    shutil.rmtree(root)  # frames are enough from here on
    again, same = open_samples("dvs-cifar10", SMALL, progress=lambda *_: pytest.fail("read again"))
    assert same == manifest
    assert torch.equal(again.test.frames, splits.test.frames)
    (folder,) = cache.iterdir()
    assert folder.name == "dvs-cifar10-4x16x16-time-counts-widen-aedat2"


def test_other_frames_lie_elsewhere(tmp_path):
    root = fakes.write_recordings(tmp_path / "set")
    ways = [
        SMALL,
        Framing(Binning(5, 16, 16)),
        Framing(Binning(4, 17, 17)),
        Framing(Binning(4, 16, 16, by="count")),
        Framing(Binning(4, 16, 16, cells="binary")),
        Framing(Binning(4, 16, 16, beyond="saturate")),
        Framing(FOUR, "aedat2-raw"),
    ]
    folders = {prepare("dvs-cifar10", root, framing=way)[0] for way in ways}
    assert len(folders) == len(ways)
    assert dict(prepared_folders("dvs-cifar10")).keys() == folders
    assert prepared_folder("events", tmp_path / "a", OWN) != prepared_folder("events", tmp_path / "b", OWN)


def test_recordings_of_a_users_sensor(tmp_path):
    root = fakes.write_recordings(tmp_path / "mine", fakes.npz_bytes, ".npz")
    splits, manifest = open_samples("events", Framing(FOUR, "npz", (60, 80)), root)
    expected = to_frames(read_event_archive(sorted(root.rglob("*.npz"))[0], height=60, width=80), FOUR).counts
    assert any(torch.equal(expected, one) for one in [*splits.train.frames, *splits.test.frames])
    assert manifest.details["events"] == 3000


def test_simulated_recordings_are_found_and_never_pass_for_a_cameras(tmp_path, cache):
    fakes.write_recordings(simulated_root("cifar10"), simulated)
    _, manifest = open_samples("cifar10-simulated", SMALL)
    assert (manifest.check, manifest.details["simulated"]) == ("simulated", 10)
    shutil.rmtree(cache)
    for name, make, check in (
        ("dvs-cifar10", simulated, "simulated"),
        ("cifar10-simulated", fakes.aedat2_bytes, "unchecked"),
    ):
        root = fakes.write_recordings(tmp_path / name, make)
        with pytest.raises(DataError, match=rf"{name}/cat/cat_\d.aedat is .*simulated: {name}"):
            prepare(name, root, framing=SMALL)
        assert prepare("events", root, framing=OWN)[1].check == check


def test_another_place_and_other_files_are_noticed(tmp_path):
    root = fakes.write_recordings(tmp_path / "set")
    prepare("dvs-cifar10", root, framing=SMALL)
    open_samples("dvs-cifar10", SMALL, root)
    with pytest.raises(DataError, match=r"from .*set, not from .*other; .*--from .*other"):
        open_samples("dvs-cifar10", SMALL, tmp_path / "other")
    (root / "cat" / "cat_0.aedat").write_bytes(fakes.aedat2_bytes(99, count=301))
    for place in (None, root):
        with pytest.raises(DataError, match="changed"):
            open_samples("dvs-cifar10", SMALL, place)


@each_row(
    ("name", "way", "place", "named"),
    [
        ("events", SMALL, ".", "events is one of aedat2, .*frames.format"),
        ("dvs-cifar10", Framing(FOUR, "nmnist"), ".", "aedat2, aedat2-raw, aedat4: .*'nmnist'"),
        ("events", Framing(FOUR, "npz"), ".", "npz needs .*frames.sensor"),
        ("n-mnist", Framing(FOUR, "", (34, 34)), ".", "nmnist .*frames.sensor"),
        ("events", OWN, None, "'events'"),
        ("dvs-cifar10", SMALL, "nowhere", "nowhere does not exist"),
        ("dvs-cifar10", SMALL, None, "bntt data prepare dvs-cifar10 --from PATH.*--steps"),
        ("cifar10-simulated", SMALL, None, "bntt data simulate cifar10 .*bntt data prepare cifar10-simulated"),
    ],
)
def test_formats_and_places_that_cannot_be(name, way, place, named, tmp_path):
    with pytest.raises(DataError, match=named):
        open_samples(name, way, tmp_path / place if place else None)

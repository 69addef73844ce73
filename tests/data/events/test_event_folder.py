"""A folder of recordings made into frames once: every file, its part, its class, and what was counted."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from bntt.data import SampleLoader, SampleSet, split_validation
from bntt.data.catalog import prepare_events, split_digest, split_recordings
from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.formats import EVENT_FORMATS, read_aedat2
from bntt.data.prepared import load_prepared, read_manifest
from bntt.io.errors import DataError
from tests.data.damaged import VERSION
from tests.data.events.aedat4_files import recording as aedat4_recording
from tests.fakes import aedat2_bytes as recording
from tests.rows import each_row

BINNING = Binning(4, 42, 42)
AEDAT2 = EVENT_FORMATS["aedat2"]


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
    manifest = prepare(root, tmp_path, test_share=0.4, progress=lambda done, total: told.append((done, total)))
    folder = tmp_path / "cache" / "mine"
    assert read_manifest(folder) == manifest
    assert told == [(number, 10) for number in range(1, 11)]
    split = json.loads((folder / "split.json").read_text())
    assert split.pop("sha256") == split_digest(split)
    assert split == split_recordings([f"{c}/{c}_{n}" for c in ("cat", "dog") for n in range(5)], 0.4)
    parts = load_prepared(folder, manifest)
    assert (manifest.images, manifest.shape, manifest.classes) == (
        {"train": 6, "test": 4},
        [4, 2, 42, 42],
        ["cat", "dog"],
    )
    for part, names in zip(parts, split.values(), strict=True):
        assert isinstance(part, SampleSet)
        for number, name in enumerate(names):
            expected = to_frames(read_aedat2(root / f"{name}.aedat"), BINNING).counts
            assert torch.equal(part.frames[number], expected)
            assert part.classes[int(part.labels[number])] == name.partition("/")[0]
    details = manifest.details
    assert (details["events"], details["saturated"], details["again"], details["left_out"]) == (3000, 0, 0, 0)
    assert (details["bits"], details["binning"]) == ({"train": 8, "test": 8}, dataclasses.asdict(BINNING))


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
    train = next(iter(split_recordings([f"{c}/{c}_{n}" for c in ("cat", "dog") for n in range(5)])["train"]))
    (root / f"{train}.aedat").write_bytes(VERSION + crowded.astype(">u4").tobytes())
    manifest = prepare(root, tmp_path, Binning(1, 42, 42))
    train, test = load_prepared(tmp_path / "cache" / "mine", manifest)
    assert (train.frames.dtype, int(train.frames.long().max()), test.frames.dtype) == (torch.uint16, 900, torch.uint8)
    assert manifest.details["bits"] == {"train": 16, "test": 8}
    manifest = prepare(root, tmp_path, Binning(1, 42, 42, beyond="saturate"))
    train, _ = load_prepared(tmp_path / "cache" / "mine", manifest)
    assert (int(train.frames.max()), manifest.details["saturated"]) == (255, 645)


def test_what_is_no_event_is_counted(root, tmp_path):
    path = root / "cat" / "cat_0.aedat"
    path.write_bytes(path.read_bytes() + bytes.fromhex("00008000 00003000") * 3)
    details = prepare(root, tmp_path).details
    assert (details["left_out"], details["events"]) == (3, 3000)


def test_empty_frames_are_counted(root, tmp_path):
    at_once = np.stack([np.arange(9), np.full(9, 77)], 1)
    for path in (root / "cat").iterdir():
        path.write_bytes(VERSION + (at_once + np.array([int(path.stem[-1]), 0])).astype(">u4").tobytes())
    assert prepare(root, tmp_path).details["empty"] == pytest.approx(0.5 * 0.75)


def test_loading_reads_no_frames_and_selections_share_them(root, tmp_path):
    manifest = prepare(root, tmp_path)
    train, _ = load_prepared(tmp_path / "cache" / "mine", manifest)
    training, validation, index = split_validation(train, 2, seed=0)
    assert training.frames.data_ptr() == train.frames.data_ptr() == validation.frames.data_ptr()
    (batch,) = SampleLoader(validation, 2).epoch(0)
    assert torch.equal(batch.inputs, train.frames[index].float())
    assert torch.equal(batch.labels, train.labels[index])


def test_the_same_recording_in_both_parts(root, tmp_path):
    train, test = split_recordings([f"{c}/{c}_{n}" for c in ("cat", "dog") for n in range(5)]).values()
    content = (root / f"{train[0]}.aedat").read_bytes()
    other = content.replace(VERSION, VERSION + b"# created on another day\r\n")
    (root / f"{test[1]}.aedat").write_bytes(other)
    with pytest.raises(DataError, match=rf"{test[1]} \(test\) and {train[0]} \(train\) are the same"):
        prepare(root, tmp_path)
    assert list((tmp_path / "cache").iterdir()) == [], "nothing is left of it"


def swapped(seed):
    return VERSION + np.frombuffer(recording(seed)[len(VERSION) :], ">u4").astype("<u4").tobytes()


def backwards(seed):
    return VERSION + np.frombuffer(recording(seed)[len(VERSION) :], ">u4").reshape(-1, 2)[::-1].tobytes()


def damage(root):
    (root / "dog" / "dog_3.aedat").write_bytes(VERSION)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage, "dog_3.aedat: there is no event"),
        (lambda root: (root / "dog" / "notes.txt").touch(), "notes.txt is no recording that is read here"),
        (lambda root: (root / "lone.aedat").touch(), "lone.aedat lies beside the class folders"),
        (lambda root: (root / "bird").mkdir(), "bird holds no file: expected one or more in the folder of every class"),
        (lambda root: (root / "dog" / "dog_1.AEDAT").write_bytes(recording(0)), "have the same name: remove one"),
        (lambda root: write(root, 1, ["bird"]), "class bird has 1 recording"),
        (
            lambda root: (root / "dog" / "dog_5.aedat").write_bytes(recording(5)[:-3]),
            "dog_5.aedat ends within an event",
        ),
        (lambda root: (root / "dog" / "dog_5.aedat").write_bytes(swapped(5)), "is not an address of a DVS128"),
        (lambda root: (root / "dog" / "dog_5.aedat").write_bytes(backwards(5)), "dog_5.aedat, byte .*: time falls"),
        (lambda root: (root / "dog" / "gone.aedat").symlink_to("nowhere"), "is a link that leads nowhere"),
    ],
)
def test_a_folder_with_something_wrong(change, message, root, tmp_path):
    change(root)
    with pytest.raises(DataError, match=message):
        prepare(root, tmp_path)
    assert not (tmp_path / "cache" / "mine").exists()


def test_no_folder_or_nothing_in_it(tmp_path):
    with pytest.raises(DataError, match=r"is no folder: expected a folder with one folder of \.aedat files per"):
        prepare(tmp_path / "nowhere", tmp_path)
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match="set holds no file"):
        prepare(tmp_path / "set", tmp_path)
    write(tmp_path / "set" / "train")
    with pytest.raises(DataError, match=r"has only one part: add train or test \(or val\), or move"):
        prepare(tmp_path / "set", tmp_path)
    write(tmp_path / "vehicles", labels=["bus", "train"])
    assert prepare(tmp_path / "vehicles", tmp_path).classes == ["bus", "train"], "a class may have this name"


def test_parts_with_other_classes(tmp_path):
    write(tmp_path / "set" / "train", 2)
    write(tmp_path / "set" / "test", 2, ["cat", "cow"], seed=50)
    with pytest.raises(DataError, match="the classes of train and test differ: cow, dog"):
        prepare(tmp_path / "set", tmp_path)


def test_frames_that_do_not_fit(root, tmp_path):
    with pytest.raises(DataError, match=r"cat_\d.aedat: frames of 129x42 are larger than the sensor, 128x128"):
        prepare(root, tmp_path, Binning(4, 129, 42))


def test_what_was_prepared_has_changed(root, tmp_path):
    manifest = prepare(root, tmp_path)
    file = tmp_path / "cache" / "mine" / "train.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"train.safetensors has changed"):
        load_prepared(file.parent, manifest)


def test_every_format_reads_its_files(tmp_path):
    np.savez(tmp_path / "a.npz", t=[1], x=[127], y=[0], p=[1])
    (tmp_path / "a.bin").write_bytes(bytes([3, 5, 0x80, 1, 0]))
    (tmp_path / "a.aedat").write_bytes(VERSION + bytes.fromhex("00000802 00000001"))
    found = {
        name: [int(getattr(kind.read(tmp_path / f"a{kind.ending}"), axis)[0]) for axis in "xyp"]
        for name, kind in EVENT_FORMATS.items()
        if name != "aedat4"
    }
    assert found == {
        "aedat2": [119, 126, 1],
        "aedat2-raw": [1, 8, 0],
        "aedat2-davis240": [0, 0, 1],
        "aedat2-davis346": [0, 0, 1],
        "nmnist": [3, 5, 1],
        "npz": [127, 0, 1],
    }


def test_recordings_of_two_sensors_make_no_set(tmp_path):
    for label, size in (("cat", 128), ("dog", 64)):
        (tmp_path / "root" / label).mkdir(parents=True)
        for number in range(5):
            place = tmp_path / "root" / label / f"{number}.aedat4"
            place.write_bytes(aedat4_recording(number + size, height=size, width=size))
    with pytest.raises(
        DataError, match=r"0.aedat4 is of a sensor of 64x64, .*aedat4 of 128x128: make two sets of them"
    ):
        prepare(tmp_path / "root", tmp_path, kind=EVENT_FORMATS["aedat4"])

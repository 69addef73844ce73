"""Sets of recordings by name: their formats, their frames' folders, and what is refused."""

import shutil

import pytest
import torch

from bntt.data.catalog import open_samples, prepare, prepared_folder, prepared_folders, simulated_root
from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.formats import SIMULATED, Framing, read_aedat2, read_event_archive
from bntt.io.errors import DataError
from tests import fakes
from tests.rows import each_row

SMALL = Framing(Binning(4, 16, 16))
OWN = Framing(Binning(4, 16, 16), "aedat2")
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
    of_files = torch.stack([to_frames(read_aedat2(path), SMALL.binning).counts for path in paths])
    both = torch.cat([splits.train.frames, splits.test.frames])
    assert sorted(both.flatten(1).tolist()) == sorted(of_files.flatten(1).tolist())
    shutil.rmtree(root)  # frames are enough from here on
    again, same = open_samples("dvs-cifar10", SMALL, progress=lambda *_: pytest.fail("read again"))
    assert same == manifest
    assert torch.equal(again.test.frames, splits.test.frames)
    assert [folder.name for folder, _ in prepared_folders("dvs-cifar10")] == [
        "dvs-cifar10-4x16x16-time-counts-widen-aedat2"
    ]


def test_other_frames_lie_elsewhere(tmp_path):
    root = fakes.write_recordings(tmp_path / "set")
    ways = [
        SMALL,
        Framing(Binning(5, 16, 16)),
        Framing(Binning(4, 17, 17)),
        Framing(Binning(4, 16, 16, by="count")),
        Framing(Binning(4, 16, 16, cells="binary")),
        Framing(Binning(4, 16, 16, beyond="saturate")),
        Framing(Binning(4, 16, 16), "aedat2-raw"),
    ]
    folders = {prepare("dvs-cifar10", root, framing=way)[0] for way in ways}
    assert len(folders) == len(ways)
    assert dict(prepared_folders("dvs-cifar10")).keys() == folders
    assert prepared_folder("events", tmp_path / "a", OWN) != prepared_folder("events", tmp_path / "b", OWN)


def test_recordings_of_a_users_sensor(tmp_path):
    root = fakes.write_recordings(tmp_path / "mine", fakes.npz_bytes, ".npz")
    way = Framing(Binning(4, 16, 16), "npz", (60, 80))
    splits, manifest = open_samples("events", way, root)
    first = sorted(root.rglob("*.npz"))[0]
    expected = to_frames(read_event_archive(first, height=60, width=80), way.binning).counts
    assert any(torch.equal(expected, one) for one in [*splits.train.frames, *splits.test.frames])
    assert manifest.details["events"] == 3000


def test_simulated_recordings_are_found_and_said_to_be(cache):
    with pytest.raises(DataError, match=r"simulate cifar10 makes its recordings; or bntt data prepare cifar10-"):
        open_samples("cifar10-simulated", SMALL)
    fakes.write_recordings(simulated_root("cifar10"), simulated)
    _, manifest = open_samples("cifar10-simulated", SMALL)
    assert (manifest.check, manifest.details["simulated"]) == ("simulated", 10)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("dvs-cifar10", simulated, "is simulated: dvs-cifar10 are recordings of a camera"),
        (
            "cifar10-simulated",
            fakes.aedat2_bytes,
            "is not simulated: cifar10-simulated are",
        ),
    ],
)
def test_simulated_recordings_never_pass_for_a_cameras(name, make, message, tmp_path, cache):
    root = fakes.write_recordings(tmp_path / "set", make)
    with pytest.raises(DataError, match=message):
        prepare(name, root, framing=SMALL)
    assert not list(cache.iterdir())
    assert prepare("events", root, framing=OWN)[1].check == ("simulated" if make is simulated else "unchecked")


def test_another_place_and_other_files_are_noticed(tmp_path):
    root = fakes.write_recordings(tmp_path / "set")
    prepare("dvs-cifar10", root, framing=SMALL)
    open_samples("dvs-cifar10", SMALL, root)
    with pytest.raises(DataError, match=r"prepared from .*set, not from .*other; .*--from .*other --steps 4 --size 16"):
        open_samples("dvs-cifar10", SMALL, tmp_path / "other")
    (root / "cat" / "cat_0.aedat").write_bytes(fakes.aedat2_bytes(99, count=301))
    for place in (None, root):
        with pytest.raises(DataError, match="have changed since they were prepared"):
            open_samples("dvs-cifar10", SMALL, place)


@each_row(
    ("name", "way", "message"),
    [
        ("events", SMALL, "the format of events is one of aedat2, .*: it must be named"),
        ("dvs-cifar10", Framing(Binning(4, 16, 16), "nmnist"), "is one of aedat2, aedat2-raw, aedat4: got 'nmnist'"),
        ("events", Framing(Binning(4, 16, 16), "npz"), "npz needs the rows and columns of its sensor"),
        ("n-mnist", Framing(Binning(4, 16, 16), "", (34, 34)), "nmnist already gives, itself or by its name, the rows"),
    ],
)
def test_formats_that_cannot_be(name, way, message, tmp_path):
    with pytest.raises(DataError, match=message):
        open_samples(name, way, tmp_path)


def test_places_that_cannot_be(tmp_path):
    with pytest.raises(DataError, match=r"the dataset 'events' needs the folder"):
        open_samples("events", OWN)
    with pytest.raises(DataError, match=r"nowhere does not exist: dvs-cifar10 is read from the unpacked CIFAR10-DVS"):
        open_samples("dvs-cifar10", SMALL, tmp_path / "nowhere")
    expected = r"not prepared with these frames: bntt data prepare dvs-cifar10 --from PATH --steps"
    with pytest.raises(DataError, match=expected):
        open_samples("dvs-cifar10", SMALL)


def test_flags_say_all_that_is_not_usual():
    whole = Framing(Binning(3, 9, 9, by="count", cells="binary", beyond="saturate"), "npz", (60, 80))
    said = "--steps 3 --size 9 --by count --cells binary --beyond saturate --format npz --sensor 60 80"
    assert whole.flags() == said

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

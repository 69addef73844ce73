"""Folders of simulated recordings: as many of each class, labelled, resumed, the same however they came to be."""

import shutil

import numpy as np
import pytest
import torch

from bntt.data import ImageSet, fashion_mnist_bundled
from bntt.data.events.camera import simulate, simulate_set
from bntt.data.events.formats import is_simulated, read_aedat2
from bntt.data.samples import some_of
from bntt.io.errors import DataError

IMAGES = some_of(fashion_mnist_bundled().train, 100, seed=0)


def make(folder, **options):
    simulate_set(IMAGES, folder, **{"name": "tiny", "count": 10, **options})
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.aedat"))}


def test_as_many_of_each_class_and_every_event_of_their_images(tmp_path):
    told = []
    folder = make(tmp_path / "set", seed=4, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 10) for number in range(1, 11)]
    labels = {path.name: len(list(path.iterdir())) for path in folder.iterdir()}
    assert set(labels.values()) == {1}
    assert {"T-shirt-top", "Ankle-boot"} <= labels.keys()
    for path in folder.rglob("*.aedat"):
        assert is_simulated(path)
        place = int(path.stem.rpartition("_")[2])
        assert IMAGES.classes[int(IMAGES.labels[place])].replace("/", "-").replace(" ", "-") == path.parent.name
        expected, read = simulate(IMAGES.images[place], seed=4, index=place)[0], read_aedat2(path)
        for name in "txyp":
            assert np.array_equal(getattr(read, name), getattr(expected, name))
    assert not list(tmp_path.glob("*.part"))


def test_headers_say_image_seed_and_camera(tmp_path):
    path = sorted(make(tmp_path / "set", seed=7, count=10).rglob("*.aedat"))[0]
    head = path.read_bytes()[:900].split(b"#End")[0].decode("ascii").splitlines()
    assert head[1] == "# This recording is simulated: no camera made it."
    assert head[2].startswith(f"# Image {int(path.stem[-5:])} of tiny, SHA-256 ")
    assert head[3].startswith("# Seed 7, Camera(size=128, ")
    assert head[4].startswith("# Threshold 0.")


def test_what_was_stopped_goes_on_and_ends_the_same(tmp_path):
    whole = contents(make(tmp_path / "whole"))

    def stop(done, total):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "set", progress=stop)
    part = tmp_path / "set.part"
    assert not (tmp_path / "set").exists()
    kept = contents(part)
    assert len(kept) == 7
    first, second = list(kept)[:2]
    (part / first).write_bytes(kept[first].replace(b"# Seed 0", b"# Seed 9"))  # of another seed: written again
    times = {name: (part / name).stat().st_mtime_ns for name in kept}
    assert contents(make(tmp_path / "set")) == whole
    assert (tmp_path / "set" / second).stat().st_mtime_ns == times[second]
    assert (tmp_path / "set" / first).stat().st_mtime_ns != times[first]


def test_leftovers_of_another_choice_are_refused(tmp_path):
    part = make(tmp_path / "one", seed=1)
    shutil.move(part, tmp_path / "set.part")
    with pytest.raises(DataError, match=r"set.part holds .* which is none of these recordings"):
        make(tmp_path / "set", seed=2)


def test_refusals(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match=r"there exists already: remove it, or choose another with --to"):
        make(tmp_path / "there")
    for count in (0, 101):
        with pytest.raises(DataError, match=f"tiny has 100 images to simulate recordings from, asked for {count}"):
            make(tmp_path / "set", count=count)


def test_a_class_is_called_as_a_folder_may_be(tmp_path):
    images = ImageSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), ("../a/b", "..."))
    simulate_set(images, tmp_path / "set", name="odd", count=2)
    assert {path.name for path in (tmp_path / "set").iterdir()} == {"a-b", "class"}


def test_two_classes_never_share_a_folder(tmp_path):
    images = ImageSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), ("a b", "a-b"))
    with pytest.raises(DataError, match="two classes of odd would have one folder: a-b, a-b"):
        simulate_set(images, tmp_path / "set", name="odd", count=2)

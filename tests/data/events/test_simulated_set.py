"""Folders of simulated recordings: as many of each class, labelled, resumed, the same however they came to be."""

import shutil

import numpy as np
import pytest
import torch

from bntt.data import ImageSet, fashion_mnist_bundled
from bntt.data.events.camera import simulate, simulate_set
from bntt.data.events.formats import SIMULATED, read_aedat2
from bntt.data.samples import some_of
from bntt.io.errors import DataError

IMAGES = some_of(fashion_mnist_bundled().train, 100, seed=0)


def make(folder, **options):
    simulate_set(IMAGES, folder, **{"name": "tiny", "count": 10, **options})
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.aedat"))}


def test_as_many_of_each_class_every_event_of_their_images_and_headers_that_say_so(tmp_path):
    told = []
    folder = make(tmp_path / "set", seed=4, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 10) for number in range(1, 11)]
    labels = {path.name: len(list(path.iterdir())) for path in folder.iterdir()}
    assert set(labels.values()) == {1}
    assert {"T-shirt-top", "Ankle-boot"} <= labels.keys()
    for path in folder.rglob("*.aedat"):
        place = int(path.stem.rpartition("_")[2])
        assert IMAGES.classes[int(IMAGES.labels[place])].replace("/", "-").replace(" ", "-") == path.parent.name
        expected, read = simulate(IMAGES.images[place], seed=4, index=place)[0], read_aedat2(path)
        for name in "txyp":
            assert np.array_equal(getattr(read, name), getattr(expected, name))
        head = path.read_bytes()[:900].split(b"#End")[0].decode("ascii").splitlines()[1:5]
        begins = (SIMULATED, f"# Image {place} of tiny, SHA-256 ", "# Seed 4, Camera(size=128, ", "# Threshold ")
        assert all(map(str.startswith, head, begins))
    assert not list(tmp_path.glob("*.part"))


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


def of_classes(*names):
    return ImageSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), names)


def test_what_cannot_be_simulated(tmp_path):
    shutil.move(make(tmp_path / "there", seed=1), tmp_path / "set.part")
    (tmp_path / "there").mkdir()
    for folder, options, named in (
        ("there", {}, "there exists"),
        ("new", {"count": 0}, "tiny has 100 .* 0"),
        ("new", {"count": 101}, "tiny has 100 .* 101"),
        ("set", {"seed": 2}, "set.part holds"),  # what another seed left
    ):
        with pytest.raises(DataError, match=named):
            make(tmp_path / folder, **options)
    with pytest.raises(DataError, match="a-b, a-b"):
        simulate_set(of_classes("a b", "a-b"), tmp_path / "new", name="odd", count=2)
    simulate_set(of_classes("../a/b", "..."), tmp_path / "new", name="odd", count=2)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"a-b", "class"}

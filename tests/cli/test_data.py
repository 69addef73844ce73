"""``bntt data``: prepare, verify, where."""

from contextlib import contextmanager

import pytest

from bntt.cli import console
from bntt.cli import main as cli
from bntt.cli.data import FrameFlags
from bntt.data.events.binning import Binning
from bntt.data.events.formats import Framing
from bntt.io.errors import DataError
from bntt.runs.recipe.first_sample import recipe_for
from tests import fakes

pytestmark = pytest.mark.usefixtures("cache")


def test_prepare_verify_where(tmp_path, cache, capsys):
    source = fakes.write_mnist(tmp_path / "mnist")
    assert cli.main(["data", "prepare", "mnist", "--from", str(source)]) == 3
    assert "--allow-modified-data" in capsys.readouterr().err
    assert cli.main(["data", "prepare", "mnist", "--from", str(source), "--allow-modified-data"]) == 0
    assert "mnist: 20 + 10 images of 1x28x28, 10 classes, source modified" in capsys.readouterr().out
    assert cli.main(["data", "verify", "mnist"]) == 0
    assert capsys.readouterr().out.count("unchanged") == 2
    assert cli.main(["data", "where"]) == 0
    out = capsys.readouterr().out
    assert "fashion-mnist-bundled: built in" in out
    assert "mnist: 20 + 10 images" in out
    assert "cifar10: not here" in out
    file = cache / "mnist" / "test.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert cli.main(["data", "verify", "mnist"]) == 3
    assert "has changed since it was prepared" in capsys.readouterr().err


def test_progress_counts_every_image(tmp_path, monkeypatch):
    told = []

    @contextmanager
    def progress(what):
        yield lambda done, total: told.append((what, done, total))

    monkeypatch.setattr(console, "progress", progress)
    root = fakes.write_image_folder(tmp_path / "mine")
    assert cli.main(["data", "prepare", "images", "--from", str(root)]) == 0
    assert told == [("preparing images", done, 12) for done in range(1, 13)]


def test_flags_become_a_framing():
    given = FrameFlags(3, 9, "count", "binary", "saturate", "npz", (60, 80))
    binning = Binning(3, 9, 9, by="count", cells="binary", beyond="saturate")
    assert given.framing("events") == Framing(binning, "npz", (60, 80))
    assert FrameFlags().framing("dvs-cifar10") == Framing(Binning(20, 42, 42))
    assert FrameFlags().framing("n-mnist") == Framing(Binning(20, 34, 34)), "no more than the sensor has"
    assert recipe_for("n-mnist").data.frames.size == 34
    assert FrameFlags().framing("mnist") is None
    for flags, name, named in (
        ({"fit": "pad", "mode": "rgb"}, "images", "--size"),
        ({"size": 0}, "images", "size"),
        ({"mode": "rgb"}, "mnist", "--mode"),
    ):
        with pytest.raises(DataError, match=named):
            FrameFlags(**flags).framing(name)


@pytest.mark.slow
def test_recordings_are_simulated_prepared_and_shown(tmp_path, cache, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["--recordings", "40", "--to", "recordings"]
    assert cli.main(["data", "simulate", "fashion-mnist-bundled", *few]) == 0
    assert "simulated 40 recordings of fashion-mnist-bundled" in capsys.readouterr().out
    frames = ["--steps", "4", "--size", "16", "--format", "aedat2"]
    assert cli.main(["data", "prepare", "events", "--from", "recordings", *frames]) == 0
    assert "events: 30 + 10 recordings of 4x2x16x16, 10 classes, source simulated" in (out := capsys.readouterr().out)
    assert "-s network.num_steps=4 -s data.frames.size=16 -s data.frames.format=aedat2" in out
    options = ["-s", "data.root=recordings", "-s", "data.frames.format=aedat2", "-s", "data.frames.size=16"]
    assert cli.main(["data", "show", "events", *options, "-s", "network.num_steps=4", "--index", "2"]) == 0
    assert "events (simulated), test 2: " in capsys.readouterr().out
    assert (tmp_path / "events-test-2.png").stat().st_size > 1000


def test_a_damaged_set_hides_no_other_and_where_finds_what_was_simulated(cache, capsys):
    (cache / "mnist").mkdir(parents=True)
    (cache / "mnist" / "manifest.json").write_text("{")
    assert cli.main(["data", "simulate", "fashion-mnist-bundled", "--recordings", "20"]) == 0
    (cache / "simulated" / "fashion-mnist-bundled").rename(cache / "simulated" / "fashion-mnist")
    capsys.readouterr()
    assert cli.main(["data", "where"]) == 0
    out = capsys.readouterr().out
    assert "manifest.json is damaged" in out
    assert "tiny-imagenet: not here" in out
    assert f"fashion-mnist-simulated: not prepared, found in {cache}/simulated/fashion-mnist" in out


def test_what_frames_do_not_hold_is_told(tmp_path, capsys):
    root = fakes.write_recordings(tmp_path / "set")
    one = b"#!AER-DAT2.0\r\n" + 300 * bytes([0, 0, 1, 2, 0, 0, 0, 5]) + bytes([0, 0, 128, 0, 0, 0, 0, 6])
    (root / "cat" / "cat_0.aedat").write_bytes(one)
    for flags, said in (
        ([], "cells of 16 bits; 7.5% of the frames are empty; 1 words"),
        (["--beyond", "saturate"], "3,000 events, 45 of them not counted"),
        (["--cells", "binary"], "cells hold 0 or 1; cells of 8 bits"),
    ):
        command = ["data", "prepare", "dvs-cifar10", "--from", str(root), "--steps", "4", "--size", "16", *flags]
        assert cli.main(command) == 0
        assert said in capsys.readouterr().out

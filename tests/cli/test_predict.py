"""``bntt predict``: text, JSON, picture, and files that are no images."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from bntt.analysis import Prediction, predict
from bntt.cli import console
from bntt.cli import main as cli
from bntt.cli import predict as verb
from bntt.data import fashion_mnist_bundled
from bntt.deploy import export
from bntt.models import PRETRAINED, pretrained, pretrained_facts
from bntt.runs.open_run import load_run
from bntt.runs.predictors import Shown, predictor_of
from tests.fakes import npz_bytes, write_recordings
from tests.rows import each_row
from tests.trained import demo_run

TEST = fashion_mnist_bundled().test
LABELS = ["Sneaker", "Trouser", "Bag"]


@pytest.fixture
def run():
    return demo_run().path


@pytest.fixture
def pictures(tmp_path):
    """Three test images as files."""
    paths = [tmp_path / f"{number}.png" for number in (333, 555, 950)]
    for path in paths:
        Image.fromarray(TEST.images[int(path.stem), 0].numpy()).save(path)
    return paths


@pytest.fixture
def said(capsys):
    """What ``bntt predict`` prints."""

    def said(*args):
        capsys.readouterr()
        assert cli.main(["predict", *map(str, args)]) == 0
        return capsys.readouterr().out

    return said


@pytest.fixture
def told(said):
    """The same as JSON."""
    return lambda *args: json.loads(said(*args, "--json"))


def test_the_packages_network_says_what_it_sees_and_from_when(pictures, said):
    lines, facts = said(*pictures).splitlines(), pretrained_facts()
    assert "fashion-mnist-vgg6" in lines[0]
    assert "--run" in lines[1], "a photo of a cat is a bag to it"
    assert f"{facts.test['accuracy']:.1%}" in lines[0]
    images = TEST.batch(torch.tensor([333, 555, 950]))
    for path, found, label in zip(pictures, predict(pretrained(), images, facts.classes), LABELS, strict=True):
        place = lines.index(str(path))
        share = float(found.confidence[-1].max())
        assert lines[place + 1] == f"{label}, {share:.1%}; the same from step {found.stable_from} of 8 on"
        assert lines[place + 3].split() == [str(step) for step in range(1, 9)]
        shares = found.confidence[:, facts.classes.index(label)].tolist()
        assert lines[place + 4].split() == [label, *(f"{share:.1%}" for share in shares)]


@each_row("name", [name for name in PRETRAINED if pretrained_facts(name).bundled_test])
def test_every_network_of_images_knows_these(name, pictures, told):
    found = told(*pictures, "--pretrained", name)
    assert found["network"] == name
    assert [one["label"] for one in found["images"]] == LABELS
    assert len(found["images"][0]["confidence"]) == pretrained_facts(name).network["num_steps"]


@pytest.mark.slow
def test_a_run_answers_in_exact_numbers(run, pictures, told):
    found, loaded = told(*pictures, "--run", run, "--draws", 3, "--seed", 5), load_run(run)
    images = TEST.batch(torch.tensor([333, 555, 950]))
    expected = predict(loaded.model, images, loaded.classes, seed=5, draws=3)
    entries = [
        {"file": str(path), "changes": [], "label": one.label, "stable_from": one.stable_from}
        | {"confidence": one.confidence.tolist()}
        for path, one in zip(pictures, expected, strict=True)
    ]
    named = {"network": str(run), "classes": list(loaded.classes), "seed": 5, "draws": 3}
    assert found == named | {"images": entries}


def test_what_was_done_to_an_image_and_other_options_are_said(run, tmp_path, pictures, said, told):
    plain = told(pictures[0], "--run", run, "-s", "compute.backend=reference")
    assert plain["measured_with"] == {"compute.backend": "reference"}
    path = tmp_path / "photo.jpg"
    Image.open(pictures[2]).resize((640, 480)).convert("RGB").save(path)
    assert f"{path} (gray from RGB, resized from 640x480 to 28x28, inverted)\n" in said(path, "--invert")


def test_names_of_any_length_and_look_fit_the_screen(capsys, monkeypatch):
    monkeypatch.setattr(console.console, "_width", 80)
    names = ("x" * 60 + "1", "x" * 60 + "2", "[red]fox[/red]")
    found = Prediction(names, torch.tensor([[0.3, 0.4, 0.3]] * 12))
    verb._show(Shown(Path("x.png"), torch.zeros(1, 1), torch.zeros(1, 1, 1), ()), found)
    _, table = capsys.readouterr().out.split("confidence after step\n")
    assert max(map(len, table.splitlines())) <= 80
    heads = [line.split("  ")[0].strip() for line in table.splitlines()]
    assert heads == 2 * ["", "x" * 16 + "… (1)", "x" * 16 + "… (0)", "[red]fox[/red]"]


BROKEN = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"hello"),
    "cut": lambda path: path.write_bytes(path.with_name("333.png").read_bytes()[:-40]),
    "bomb": lambda path: Image.new("1", (20_000, 20_000)).save(path),
}


@each_row("fault", BROKEN)
def test_what_is_no_image_ends_in_one_line_that_names_it(fault, pictures, capsys):
    BROKEN[fault](path := pictures[0].with_name(f"{fault}.png"))
    assert cli.main(["predict", str(pictures[0]), str(path)]) == 3
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"bntt: {path} ")


def test_recordings_are_read_as_in_training(tmp_path, monkeypatch, told, capsys):
    """Of the five of each class one is kept for the test; a network of recordings takes nothing else."""
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "data"))
    root, runs = write_recordings(tmp_path / "mine", npz_bytes, ".npz"), tmp_path / "runs"
    of = ("name=events", f"root={root}", "augment=[]", "validation=0.3")
    of += ("frames.format=npz", "frames.sensor=[60,80]", "frames.size=12", "frames.by=count")
    settings = [f"data.{one}" for one in of] + ["network.num_steps=3", "network.width=0.125", "train.epochs=1"]
    flags = [part for one in settings for part in ("-s", one)]
    assert cli.main(["train", "fashion-mnist-events", *flags, "--root", str(runs), "--name", "own"]) == 0
    loaded = load_run(runs / "own")
    expected = predict(loaded.model, loaded.data.test.batch(torch.arange(2)), loaded.classes)
    names = json.loads(next((tmp_path / "data").rglob("split.json")).read_text("utf-8"))["test"]
    files = [root / f"{name}.npz" for name in names]
    found = told(*files, "--run", runs / "own", "--picture", tmp_path / "own.png")
    assert [one["confidence"] for one in found["images"]] == [one.confidence.tolist() for one in expected]
    assert found["images"][0]["changes"] == ["300 events in 0.01 s on 60x80 pixels", "3 frames of 12x12 by count"]
    shown = predictor_of(runs / "own", "", None, 1).read(files[0], False)
    counts = loaded.data.test.batch(torch.arange(1)).double().sum((0, 1, 2))
    assert torch.equal(shown.pixels[0], (counts / counts.max() * 255).byte())
    for args, code, named in (
        ((files[0], "--invert"), 2, "--invert"),
        ((files[0], "--draws", 2), 2, "--draws"),
        ((tmp_path / "own.png",), 3, "own.png"),
        ((root / "none.npz",), 3, "none.npz"),
    ):
        assert cli.main(["predict", *map(str, args), "--run", str(runs / "own")]) == code
        assert named in capsys.readouterr().err


def test_a_bundle_says_what_the_run_says(run, pictures, tmp_path, said, told, capsys):
    path, frames = tmp_path / "x.safetensors", tmp_path / "frames.safetensors"
    assert cli.main(["export", str(run), "--out", str(path)]) == 0
    theirs, ours = told(*pictures, "--run", run), told(*pictures, "--bundle", path)
    for one, other in zip(ours["images"], theirs["images"], strict=True):
        assert one["label"] == other["label"]
        assert torch.allclose(torch.tensor(one["confidence"]), torch.tensor(other["confidence"]), atol=1e-4)
    assert "run by kernels" in said(*pictures, "--bundle", path)
    export(pretrained("fashion-mnist-events-small"), frames)
    path.write_bytes(path.read_bytes()[:-1])
    for args, code, named in ((["--bundle", frames], 2, "frames"), (["--bundle", path], 4, str(path))):
        assert cli.main(["predict", *map(str, [*pictures, *args])]) == code
        assert named in capsys.readouterr().err

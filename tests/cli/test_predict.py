"""``bntt predict``: text, JSON, picture, and what is refused."""

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


def said(capsys, *args):
    assert cli.main(["predict", *map(str, args)]) == 0
    return capsys.readouterr().out


def test_the_packages_network_says_what_it_sees_and_from_when(pictures, capsys):
    text = said(capsys, *pictures)
    lines, facts = text.splitlines(), pretrained_facts()
    assert lines[0] == (
        f"network: fashion-mnist-vgg6, which comes with the package; test accuracy {facts.test['accuracy']:.1%}"
    )
    images = TEST.batch(torch.tensor([333, 555, 950]))
    for path, found, label in zip(
        pictures, predict(pretrained(), images, facts.classes), ("Sneaker", "Trouser", "Bag"), strict=True
    ):
        place = lines.index(str(path))
        share = float(found.confidence[-1].max())
        assert lines[place + 1] == f"{label}, {share:.1%}; the same from step {found.stable_from} of 8 on"
        assert lines[place + 2] == "confidence after step"
        assert lines[place + 3].split() == [str(step) for step in range(1, 9)]
        shares = found.confidence[:, facts.classes.index(label)].tolist()
        assert lines[place + 4].split() == [label, *(f"{share:.1%}" for share in shares)]
    assert [line for line in lines if len(line) > 80 and line not in map(str, pictures)] == []


@each_row("name", [name for name in PRETRAINED if pretrained_facts(name).bundled_test])
def test_every_network_of_images_knows_these(name, pictures, capsys):
    found = json.loads(said(capsys, *pictures, "--pretrained", name, "--json"))
    assert found["network"] == name
    assert [one["label"] for one in found["images"]] == ["Sneaker", "Trouser", "Bag"]
    assert len(found["images"][0]["confidence"]) == pretrained_facts(name).network["num_steps"]


@pytest.mark.slow
def test_a_run_answers_in_exact_numbers(run, pictures, capsys):
    found = json.loads(said(capsys, *pictures, "--run", run, "--draws", 3, "--seed", 5, "--json"))
    loaded = load_run(run)
    assert found.keys() == {"network", "classes", "seed", "draws", "images"}
    assert (found["network"], found["seed"], found["draws"]) == (str(run), 5, 3)
    assert tuple(found["classes"]) == loaded.classes
    images = TEST.batch(torch.tensor([333, 555, 950]))
    expected = predict(loaded.model, images, loaded.classes, seed=5, draws=3)
    for path, entry, prediction in zip(pictures, found["images"], expected, strict=True):
        assert entry == {
            "file": str(path),
            "changes": [],
            "label": prediction.label,
            "stable_from": prediction.stable_from,
            "confidence": prediction.confidence.tolist(),
        }


def test_options_of_a_run_may_be_changed_to_predict_and_are_kept_with_the_answers(run, pictures, capsys):
    plain = json.loads(said(capsys, *pictures, "--run", run, "-s", "compute.backend=reference", "--json"))
    assert plain["measured_with"] == {"compute.backend": "reference"}
    assert cli.main(["predict", str(pictures[0]), "--run", str(run), "-s", "evaluate.draws=3"]) == 2
    assert "-s evaluate.draws=3: only values of compute change a prediction" in capsys.readouterr().err


def test_a_run_is_named_with_its_epoch(run, pictures, capsys):
    assert said(capsys, pictures[0], "--run", run).startswith(f"network: {run}, epoch 1\n")


def test_what_was_done_to_an_image_is_said(tmp_path, pictures, capsys):
    path = tmp_path / "photo.jpg"
    Image.open(pictures[2]).resize((640, 480)).convert("RGB").save(path)
    text = said(capsys, path, "--invert")
    assert f"{path} (gray from RGB, resized from 640x480 to 28x28, inverted)\n" in text


@pytest.mark.slow
def test_a_picture_is_written_and_named(tmp_path, pictures, capsys):
    target = tmp_path / "said.png"
    assert said(capsys, *pictures, "--picture", target).endswith(f"written: {target}\n")
    assert target.read_bytes().startswith(b"\x89PNG")
    target.unlink()
    json.loads(said(capsys, *pictures, "--picture", target, "--json"))
    assert target.exists()


def test_names_of_any_length_and_look_fit_the_screen(capsys, monkeypatch):
    monkeypatch.setattr(console.console, "_width", 80)
    names = ("x" * 60 + "1", "x" * 60 + "2", "[red]fox[/red]")
    found = Prediction(names, torch.tensor([[0.3, 0.4, 0.3]] * 12))
    verb._show(Shown(Path("x.png"), torch.zeros(1, 1), torch.zeros(1, 1, 1), ()), found)
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("confidence after step") + 1 :]
    assert max(map(len, table)) <= 80
    heads = [line.split("  ")[0].strip() for line in table]
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


def test_what_is_no_image_ends_in_one_line_that_names_it(pictures, capsys):
    for fault, breaks in BROKEN.items():
        path = pictures[0].with_name(f"{fault}.png")
        breaks(path)
        assert cli.main(["predict", str(pictures[0]), str(path)]) == 3, fault
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1), fault
        assert err.startswith(f"bntt: {path} ")


REFUSED = [
    ([], 2, "name one image or more: bntt predict IMAGE..."),
    (["IMAGE", "--draws", "0"], 2, "--draws must be from 1 to 1000, got 0"),
    (["IMAGE", "--draws", "1001"], 2, "--draws must be from 1 to 1000, got 1001"),
    (["IMAGE", "--seed", "-1"], 2, "--seed must be from 0 to 2**63 - 1, got -1"),
    (["IMAGE", "--picture", "said.gif"], 2, "--picture said.gif: the name must end in .png, .pdf, .svg"),
    (["IMAGE"] * 51 + ["--picture", "said.png"], 2, "--picture shows at most 50 images, got 51"),
    (["IMAGE", "--picture", "/nonexistent/said.png"], 5, "/nonexistent/said.png"),
    (["IMAGE", "--run", "/nonexistent"], 4, "/nonexistent is not a run directory"),
    (
        ["IMAGE", "--run", "runs/demo", "--pretrained", "fashion-mnist-vgg6"],
        2,
        "--run, --pretrained and --bundle: choose one",
    ),
    (["IMAGE", "-s", "compute.backend=reference"], 2, "-s changes the recipe of a run: name one, --run"),
    (["IMAGE", "--pretrained", "vgg6"], 2, "--pretrained: no network 'vgg6', choose one of fashion-mnist-vgg6"),
    (["IMAGE", "--picture", "IMAGE"], 2, "is an image to predict, which the drawing would replace"),
    (["IMAGE", "--pretrained", "fashion-mnist-events-small"], 2, "was trained on frames (fashion-mnist-simulated) and"),
    (["IMAGE", "--pretrained", "fashion-mnist-sparse", "--draws", "2"], 2, "--draws 2: direct coding is not random"),
]


def test_refusals(pictures, capsys):
    for args, code, message in REFUSED:
        assert cli.main(["predict", *[str(pictures[0]) if a == "IMAGE" else a for a in args]]) == code, args
        assert message in capsys.readouterr().err, args


def test_recordings_are_read_as_in_training(tmp_path, monkeypatch, capsys):
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
    capsys.readouterr()
    found = json.loads(said(capsys, *files, "--run", runs / "own", "--json", "--picture", tmp_path / "own.png"))
    assert [one["confidence"] for one in found["images"]] == [one.confidence.tolist() for one in expected]
    assert found["images"][0]["changes"] == ["300 events in 0.01 s on 60x80 pixels", "3 frames of 12x12 by count"]
    shown = predictor_of(runs / "own", "", None, 1).read(files[0], False)
    counts = loaded.data.test.batch(torch.arange(1)).double().sum((0, 1, 2))
    assert torch.equal(shown.pixels[0], (counts / counts.max() * 255).byte())
    for args, code, message in (
        ((files[0], "--invert"), 2, "--invert is for pictures, and this network takes recordings"),
        ((files[0], "--draws", 2), 2, "--draws 2: frames coding is not random"),
        ((tmp_path / "own.png",), 3, "own.png is no .npz archive"),
        ((root / "none.npz",), 3, "none.npz does not exist"),
    ):
        assert cli.main(["predict", *map(str, args), "--run", str(runs / "own")]) == code
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_direct_coding_is_shown_once(pictures, capsys):
    run = str(demo_run("encoder.name=direct").path)
    assert cli.main(["predict", str(pictures[0]), "--run", run]) == 0
    assert cli.main(["predict", str(pictures[0]), "--run", run, "--draws", "2"]) == 2
    assert "--draws 2: direct coding is not random" in capsys.readouterr().err


def test_a_bundle_says_what_the_run_says(run, pictures, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    assert cli.main(["export", str(run), "--out", str(path)]) == 0
    capsys.readouterr()
    theirs = json.loads(said(capsys, *pictures, "--run", run, "--json"))
    ours = json.loads(said(capsys, *pictures, "--bundle", path, "--json"))
    for one, other in zip(ours["images"], theirs["images"], strict=True):
        assert one["label"] == other["label"]
        assert torch.allclose(torch.tensor(one["confidence"]), torch.tensor(other["confidence"]), atol=1e-4)
    assert "run by kernels" in said(capsys, *pictures, "--bundle", path)
    export(pretrained("fashion-mnist-events-small"), frames := tmp_path / "frames.safetensors")
    assert cli.main(["predict", *map(str, pictures), "--bundle", str(frames)]) == 2
    assert "it takes frames [2, 28, 28]" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:-1])
    assert cli.main(["predict", *map(str, pictures), "--bundle", str(path)]) == 4
    assert f"{path} is damaged" in capsys.readouterr().err
    assert cli.main(["predict", *map(str, pictures), "--bundle", str(path), "--run", str(run)]) == 2
